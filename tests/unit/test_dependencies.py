"""The bill of materials has all that is locked, and an audit that could not look does not say that all is well."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.dependencies import EXIT_UNKNOWN, EXIT_WEAK, LOCK, main, sbom, verdict

_PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
SOUND: dict[str, Any] = {"name": "one", "version": "1.0", "vulns": []}
WEAK: dict[str, Any] = {"name": "two", "version": "2.0", "vulns": [{"id": "CVE-2026-0001", "fix_versions": ["2.1"]}]}
SKIPPED: dict[str, Any] = {"name": "three", "skip_reason": "not found"}


def test_the_bill_names_every_locked_package_with_its_version_and_hashes(tmp_path: Path) -> None:
    code, lines = sbom(tmp_path / "sbom.json")
    assert code == 0, lines
    bill = json.loads((tmp_path / "sbom.json").read_text())
    locked = dict(_PIN.findall(LOCK.read_text()))
    assert len(locked) > 40
    assert {each["name"]: each["version"] for each in bill["components"]} == locked
    for each in bill["components"]:
        assert each["purl"].startswith(f"pkg:pypi/{each['name']}@{each['version']}")
        hashes = {one["content"] for reference in each["externalReferences"] for one in reference["hashes"]}
        assert hashes == set(_hashes(each["name"])), each["name"]
    assert bill["metadata"]["component"]["name"] == "opentobuy"
    assert (bill["bomFormat"], sbom(tmp_path / "again.json")[0]) == ("CycloneDX", 0)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "sbom.json").read_bytes()


def _hashes(name: str) -> list[str]:
    block = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*", LOCK.read_text(), re.MULTILINE)
    assert block is not None
    return re.findall(r"sha256:([0-9a-f]{64})", block.group())


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([SOUND], 0, "1 packages, none"),
        ([SOUND, WEAK], EXIT_WEAK, "two 2.0: CVE-2026-0001, fixed in 2.1"),
        ([SOUND, SKIPPED], EXIT_UNKNOWN, "1 of 2 packages could not be looked up"),
        ([WEAK, SKIPPED], EXIT_WEAK, "1 of 2 packages could not be looked up"),
        ([], EXIT_UNKNOWN, "0 of 0"),
    ],
)
def test_verdicts(packages: list[dict[str, Any]], code: int, words: str) -> None:
    found, lines = verdict({"dependencies": packages})
    assert found == code
    assert words in "\n".join(lines)


def test_no_answer_is_not_a_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """No network: the proxy that the advisories are asked through does not exist."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["audit"]) == EXIT_UNKNOWN
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_wrong_words_are_told() -> None:
    assert main(["frobnicate"]) == 2
