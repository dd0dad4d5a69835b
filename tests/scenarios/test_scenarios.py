"""Every story in this directory, played through the real engine; and what the stories must cover between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

from models.journal import EntryType
from models.matching import MatchRule
from models.outcomes import AdviceOutcome, DeclineReason, ReversalOutcome, UpdateOutcome
from tests.support.scenario.playing import play
from tests.support.scenario.reading import load
from tests.support.scenario.sending import VERBS
from tests.support.scenario.story import Scenario
from topics.codec import TOPIC_OF_TYPE

STORIES = sorted(Path(__file__).parent.glob("*.yaml"))
CASES = (
    "A1", "A2", "A3", "A4", "A6", "A7", "A8", "A9", "A11", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B11",
    "B12", "Reversal before its authorisation",
)  # fmt: skip
NO_STORY = {DeclineReason.SYSTEM_MALFUNCTION}
"""It takes a damaged row, a bug or a wrong partition: tests/unit/test_damaged_rows.py, test_engine.py."""


@pytest.fixture(scope="module")
def scenarios() -> list[Scenario]:
    return [load(path) for path in STORIES]


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_story(path: Path) -> None:
    play(load(path))


def test_stories_are_numbered_one_by_one() -> None:
    assert [int(path.stem.partition("-")[0]) for path in STORIES] == [*range(1, len(STORIES) + 1)]


def test_the_example_in_the_description_is_a_story(tmp_path: Path) -> None:
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    example = tmp_path / "example.yaml"
    example.write_text(readme.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    play(load(example))


def test_titles_are_all_different(scenarios: list[Scenario]) -> None:
    assert [title for title, times in Counter(story.title for story in scenarios).items() if times > 1] == []


def test_every_case_of_authorisation_and_clearing_is_named_in_a_title(scenarios: list[Scenario]) -> None:
    named = {part.strip() for story in scenarios for part in story.title.partition(":")[0].split(",")}
    assert [case for case in CASES if case not in named] == []


@pytest.mark.parametrize("names", [DeclineReason, ReversalOutcome, AdviceOutcome, UpdateOutcome, MatchRule])
def test_every_named_outcome_is_played(scenarios: list[Scenario], names: type[StrEnum]) -> None:
    decided = {"authorization-request", "authorization-increment"}
    kinds = {DeclineReason: decided, ReversalOutcome: {"reversal"}, AdviceOutcome: {"authorization-advice"}}
    others = {kind for kind in TOPIC_OF_TYPE if all(kind not in known for known in kinds.values())}
    played = {outcome for kind, outcome in _outcomes(scenarios) if kind in kinds.get(names, others)}
    assert [str(name) for name in names if name not in played and name not in NO_STORY] == []


def test_every_entry_type_is_played(scenarios: list[Scenario]) -> None:
    played = {kind for story in scenarios for step in story.steps for kind, _amount in step.after.entries or ()}
    assert [str(kind) for kind in EntryType if kind not in played] == []


def test_every_message_is_played(scenarios: list[Scenario]) -> None:
    played = {type(said.message) for story in scenarios for step in story.steps for said in step.said}
    assert [do for do, verb in VERBS.items() if verb.message not in played] == []


def _outcomes(scenarios: Iterable[Scenario]) -> Iterable[tuple[str, str]]:
    for story in scenarios:
        for step in story.steps:
            for said in step.said:
                expected = said.expected
                for outcome in (expected.outcome, expected.reply.get("reason"), expected.reply.get("match_rule")):
                    if outcome is not None:
                        yield said.message.type, outcome
