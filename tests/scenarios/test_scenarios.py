"""Every story in this directory, played through the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scenario.playing import play
from tests.support.scenario.reading import load

STORIES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    play(load(path))
