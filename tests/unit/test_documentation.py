"""The written pages say what the code says, links between documents lead somewhere, and nothing that is published
changes in a way that breaks others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents.settings import Settings
from deploy import documentation
from deploy.documentation import ROOT, MarkerMissing, documents, replace_block
from deploy.schemas import generation, publication, values
from topics.declarations import ALL

GENERATED = documents()
MESSAGES = ROOT / "docs" / "messages.md"
PUBLISHED = ROOT / "docs" / "schemas"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
NAMED_FILE = re.compile(r"`((?:agents|deploy|loadtest|models|sinks|tables|tests|topics)/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_documents_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "run: python -m deploy.documentation"


def test_no_published_schema_changes_in_a_way_that_breaks_others() -> None:
    assert publication.refusals(publication.published(PUBLISHED), generation.schemas()) == []


def test_every_setting_topic_message_part_and_name_is_documented() -> None:
    readme, messages = GENERATED[ROOT / "README.md"], GENERATED[MESSAGES]
    assert all(f"`OTB_{name.upper()}`" in readme for name in Settings.model_fields)
    assert all(f"`{topic.name}`" in messages for topic in ALL)
    declared = generation.INBOUND + generation.OUTBOUND
    parts = {part.__name__ for message in declared for part in generation.parts_of(message)}
    assert {"VelocityRule", "ListRule", "Posting"} <= parts
    titles = {generation.type_of(message) for message in declared} | parts
    titles |= {names.__name__ for names in values.BY_FIELD.values()}
    assert all(f"\n### {title}\n" in messages for title in titles)
    assert all(f"| `{name}` |" in messages for names in values.BY_FIELD.values() for name in names)


def test_links_within_the_messages_page_lead_to_its_sections() -> None:
    messages = GENERATED[MESSAGES]
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", messages, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", messages)) <= sections


def test_a_field_with_a_default_is_marked_optional() -> None:
    messages = GENERATED[MESSAGES]
    section = messages.partition("\n### controls-set\n")[2].partition("\n### ")[0]
    assert "| `message_id` | string (matches `^[A-Za-z0-9._:-]{1,64}$`) |  |" in section
    assert "| `velocity` | array of [VelocityRule](#velocityrule) (length ≤ `8`) | default `[]` |" in section
    assert "| `ecommerce` | boolean | default `true` | may be used there |" in section


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place with everything that the generator reads, up to date."""
    for name in ("README.md", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    documentation.write(tmp_path)
    return tmp_path


def edit(path: Path, **field: Any) -> str:
    """Publish another schema: change the field `amount`; returns the text."""
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["properties"]["amount"] |= field
    text = publication.text_of(schema)
    path.write_text(text, encoding="utf-8")
    return text


def test_what_is_up_to_date_is_not_rewritten(root: Path) -> None:
    assert documentation.write(root) == []


def test_an_additive_change_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "docs" / "schemas" / "presentment.v1.json"
    edit(path, minimum=5)
    documentation.main(root)
    assert capsys.readouterr().out == "docs/schemas/presentment.v1.json rewritten\n"
    assert path.read_text(encoding="utf-8") == documents(root)[path]


def test_a_breaking_change_is_refused_in_one_line_and_nothing_is_written(root: Path) -> None:
    path = root / "docs" / "schemas" / "presentment.v1.json"
    published = edit(path, minimum=0)
    (root / "docs" / "messages.md").write_text("old", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        documentation.main(root)
    expected = "documentation: presentment version 1: amount: minimum was 0, is 1: raise the version"
    assert stopped.value.code == expected
    assert path.read_text(encoding="utf-8") == published
    assert (root / "docs" / "messages.md").read_text(encoding="utf-8") == "old"


def test_a_retired_version_is_refused_until_its_schema_is_deleted(root: Path) -> None:
    path = root / "docs" / "schemas" / "presentment.v0.json"
    path.write_bytes((root / "docs" / "schemas" / "presentment.v1.json").read_bytes())
    with pytest.raises(SystemExit, match="presentment version 0: no longer taken"):
        documentation.main(root)
    path.unlink()
    documentation.main(root)


def test_a_published_file_that_is_no_schema_is_named(root: Path) -> None:
    (root / "docs" / "schemas" / "refund.v1.json").write_text("<<<<<<< ours", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"documentation: .*refund\.v1\.json: "):
        documentation.main(root)


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
