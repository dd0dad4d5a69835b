"""The packager's table, read against the starter specification that comes with pyiso8583."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from iso8583.specs import default_ascii

from models.money import CURRENCIES
from topics.iso8583 import Malformed, MalformedReason, Unencodable
from topics.iso8583.currencies import ALPHABETIC, NUMERIC
from topics.iso8583.packager import ELEMENTS, MAX_BYTES, SPECIFICATION, pack, unpack

OTHERWISE = {54: 120, 55: 999}
"""Where the standard's length is not that of the starter specification."""
SYSTEM_LIST = Path("/usr/share/iso-codes/json/iso_4217.json")


def test_every_element_has_the_length_of_the_starter_specification() -> None:
    assert set(ELEMENTS) == set(range(2, 129)) - {65}
    for number in ELEMENTS:
        ours, theirs = SPECIFICATION[str(number)], default_ascii[str(number)]
        expected = (theirs["len_type"], OTHERWISE.get(number, theirs["max_len"]))
        assert (ours["len_type"], ours["max_len"]) == expected, number


def test_every_element_survives_the_wire_at_full_length() -> None:
    for number, element in ELEMENTS.items():
        content = ("C" if element.content == "xn" else "1") + "1" * (element.length - 1)
        elements = {0: "0800", number: content}
        assert unpack(pack(elements)) == elements


@pytest.mark.parametrize(
    ("elements", "field"),
    [
        ({0: "01x0"}, "MTI"),
        ({0: "0100", 4: "1"}, "DE4"),
        ({0: "0100", 4: "\u0661" * 12}, "DE4"),
        ({0: "0100", 32: "1" * 12}, "DE32"),
        ({0: "0100", 42: "\u20ac" + " " * 14}, "DE42"),
        ({0: "0100", 63: "\u20ac"}, "DE63"),
    ],
)
def test_what_does_not_fit_is_named(elements: dict[int, str], field: str) -> None:
    with pytest.raises(Unencodable) as refused:
        pack(elements)
    assert refused.value.field == field


def test_an_endless_message_is_not_read() -> None:
    longest = {0: "0100"} | dict.fromkeys(range(105, 115), "x" * 950)
    assert unpack(pack(longest)) == longest
    raw = pack(longest | {115: "x" * 950})
    assert len(raw) > MAX_BYTES
    assert unpack(raw) == Malformed(MalformedReason.NOT_ISO8583, "MTI", "longer than 9999 bytes")


def test_every_currency_has_a_number_of_its_own() -> None:
    assert set(NUMERIC) == CURRENCIES
    assert len(ALPHABETIC) == len(NUMERIC)
    assert (NUMERIC["KWD"], NUMERIC["JPY"], NUMERIC["CLF"], NUMERIC["AFN"], NUMERIC["ALL"]) == (
        "414", "392", "990", "971", "008",
    )  # fmt: skip


@pytest.mark.skipif(not SYSTEM_LIST.exists(), reason="no iso-codes package on this machine")
def test_the_numbers_are_those_of_the_systems_list() -> None:
    listed = {entry["alpha_3"]: entry["numeric"] for entry in json.loads(SYSTEM_LIST.read_text())["4217"]}
    assert {code: NUMERIC[code] for code in NUMERIC if code in listed} == {
        code: listed[code] for code in NUMERIC if code in listed
    }
