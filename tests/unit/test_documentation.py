"""The written tables say what the code says, and links between documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.settings import Settings
from deploy.documentation import ROOT, MarkerMissing, documents, replace_block
from topics.declarations import ALL

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
NAMED_FILE = re.compile(r"`((?:agents|deploy|loadtest|models|sinks|tables|tests|topics)/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_generated_tables_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == documents()[path], "run: python -m deploy.documentation"


def test_every_setting_and_every_topic_is_documented() -> None:
    readme, messages = documents().values()
    assert all(f"`OTB_{name.upper()}`" in readme for name in Settings.model_fields)
    assert all(f"`{topic.name}`" in messages for topic in ALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    missing += [name for name in NAMED_FILE.findall(text) if not (ROOT / name).exists()]
    assert not missing


def test_only_the_block_is_replaced() -> None:
    text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n"
    assert replace_block(text, "one", "new") == text.replace("old", "new")


@pytest.mark.parametrize("text", ["no marker", "<!-- one -->\nnever ended"])
def test_a_missing_marker_is_named(text: str) -> None:
    with pytest.raises(MarkerMissing, match="<!-- one -->"):
        replace_block(text, "one", "new")
