"""docs/iso8583.md has a line for every field of ours and the right code for every reason."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from models.messages import AuthorizationAdvice, AuthorizationIncrement, AuthorizationRequest, Reversal
from models.outcomes import DeclineReason
from topics.iso8583 import MalformedReason
from topics.iso8583 import point_of_service as pos
from topics.iso8583.response import DECLINE_CODES, ECHOED

PAGE = (Path(__file__).parents[2] / "docs" / "iso8583.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")]


def test_every_field_of_ours_has_a_line() -> None:
    listed = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
    for message in (AuthorizationRequest, AuthorizationIncrement, AuthorizationAdvice, Reversal):
        assert {field.name for field in fields(message)} - {"type", "version"} <= listed


def test_every_reason_stands_beside_its_code() -> None:
    codes = {code: row[2] for row in ROWS if re.fullmatch(r"\d\d(, \d\d)*", row[0]) for code in row[0].split(", ")}
    for reason in DeclineReason:
        assert f"`{reason.value}`" in codes[DECLINE_CODES[reason.value]]


def test_every_code_of_kind_and_entry_mode_is_listed() -> None:
    rules = {row[0]: row[2] for row in ROWS if len(row) == 3}
    for field, codes in (("`kind`", pos.KINDS), ("`entry_mode`", pos.ENTRY_MODES)):
        by_name = dict(re.findall(r"(?:^|; )([\d, ]+) `([a-z-]+)`", rules[field]))
        told = {code: name for listed, name in by_name.items() for code in listed.split(", ")}
        assert told == codes
    assert set(re.findall(r"\d\d", rules["`card_present`, `initiated_by`"])) == set(pos.CONDITIONS)


def test_the_repeated_elements_are_listed() -> None:
    listed = re.search(r"The answer repeats elements ([-\d, \nand]+) as far", PAGE)
    assert listed is not None
    numbers: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", listed[1]):
        numbers |= set(range(int(first), int(last or first) + 1))
    assert numbers == set(ECHOED)


def test_every_way_to_be_malformed_is_named() -> None:
    assert all(f"`{reason.value}`" in PAGE for reason in MalformedReason)
