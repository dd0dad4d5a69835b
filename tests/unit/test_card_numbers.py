"""Card numbers where none belong: found, refused, and masked in what is kept. Numbers are those that networks publish
for tests."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import card_numbers
from sinks.ledger.dead_letters import Rejection, letter
from sinks.ledger.errors import Reason, Unpostable
from tests.support import messages as say
from tests.support.engine import Bench, Record
from topics import codec

VISA, AMEX, DINERS = "4111111111111111", "378282246310005", "30569309025904"
CARDS = (VISA, "5555555555554444", "2223003122003222", AMEX, DINERS, "6011111111111117", "3530111333300000",
         "4222222222222", "4000000000000000006", "6759649826438453")  # fmt: skip
HARMLESS = (
    "4111111111111112",  # the last digit is wrong
    "9999990000000016",  # no issuer's range
    "1764169200000",  # a time in milliseconds
    "41111111111111111111",  # 20 digits
    "411111111111",  # 12
    "44111111-1111-1111-1111-111111111111",  # the groups of a UUID
    "00000012345-000321-20260921141320",  # a reference as topics/iso8583/references.py derives it
    "tok_a1b2c3d4e5f60718",
)


@pytest.mark.parametrize("number", CARDS)
def test_a_card_number_is_found_wherever_it_stands(number: str) -> None:
    for text in (number, f"tok_{number}", f'{{"pan":"{number}"}}', f'{{"pan":{number}}}', f"ü{number}ü"):
        assert card_numbers.found(text.encode()) == [number.encode()]
        assert number.encode() not in card_numbers.masked(text.encode())
    assert card_numbers.stands_in(f"tok_{number}")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_one_stays(text: str) -> None:
    assert card_numbers.found(text.encode()) == []
    assert card_numbers.masked(text.encode()) == text.encode()
    assert not card_numbers.stands_in(text)


@pytest.mark.parametrize("text", ["4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005"])
def test_printed_groups_count(text: str) -> None:
    assert card_numbers.found(text.encode()) == [text.encode()]
    assert card_numbers.found(card_numbers.masked(text.encode())) == []


def test_first_six_and_last_four_stay() -> None:
    assert card_numbers.masked(f"a{VISA}b".encode()) == b"a411111******1111b"


def test_digits_that_json_escapes_are_digits() -> None:
    hidden = "".join(f"\\u003{digit}" for digit in VISA)
    assert orjson.loads(f'"{hidden}"') == VISA
    assert VISA not in orjson.loads(card_numbers.masked(f'"{hidden}"'.encode()))


@given(st.binary(max_size=60), st.sampled_from(CARDS), st.binary(max_size=60))
def test_nothing_is_found_in_what_was_masked(before: bytes, number: str, after: bytes) -> None:
    masked = card_numbers.masked(before + b"/" + number.encode() + b"/" + after)
    assert card_numbers.found(masked) == []
    assert number.encode() not in masked


def asked(bench: Bench, **changes: Any) -> bytes:
    """All that leaves the engine for a request with these changes: keys and values, and what dead letters keep."""
    body = orjson.loads(codec.encode(say.request("ref-1", 100, transmitted_at=say.T0))) | changes
    message = ("authorizations", str(body["account_id"]).encode(), orjson.dumps(body))
    decided = bench.decide([message], say.T0)
    left = [part for records in decided.records.values() for record in records for part in record if part]
    left += [part for rows in decided.rows.values() for row in rows for part in row]
    for sent in bench.commit(decided):
        left += [base64.b64decode(sent[name]) for name in ("key_base64", "value_base64") if sent.get(name)]
    return b"\n".join(left)


@pytest.mark.parametrize("token", [VISA, f"tok-{AMEX}", "4111-1111-1111-1111"])
def test_a_card_number_in_place_of_a_token_is_refused_and_kept_nowhere(token: str) -> None:
    bench = Bench()
    bench.run(say.opened())
    left = asked(bench, card_token=token)
    assert card_numbers.found(left) == []
    [decision] = bench.on("authorization-decisions")
    assert (decision["outcome"], decision["reason"], decision["network_reference"]) == (
        "declined",
        "malformed",
        "ref-1",
    )
    [kept] = bench.on("dead-letters")
    assert (kept["reason"], kept["field"], kept["masked"]) == ("card-number", "card_token", True)


def test_a_card_number_in_place_of_an_account_is_answered_by_nobody() -> None:
    """Neither the reply nor the records' keys may repeat it."""
    bench = Bench()
    assert card_numbers.found(asked(bench, account_id=VISA)) == []
    assert bench.on("authorization-decisions") == []
    [kept] = bench.on("dead-letters")
    assert (kept["reason"], kept["field"], kept["masked"]) == ("card-number", "account_id", True)


def test_no_account_is_opened_with_a_card_number_for_a_token() -> None:
    bench = Bench()
    bench.run(say.opened(card_token=VISA))
    assert bench.rows == {}
    assert [kept["reason"] for kept in bench.on("dead-letters")] == ["card-number"]


@pytest.mark.parametrize(
    "changes",
    [{"amount": -1, "merchant_name": f"by {DINERS}"}, {"amount": VISA}, {"type": VISA}, {"pan": VISA, "mcc": "x"}],
)
def test_whatever_the_reason_a_dead_letter_keeps_no_card_number(changes: dict[str, Any]) -> None:
    bench = Bench()
    assert card_numbers.found(asked(bench, **changes)) == []
    [kept] = bench.on("dead-letters")
    assert kept["masked"]
    assert b"****" in base64.b64decode(kept["value_base64"])


def test_a_dead_letter_without_card_numbers_is_whole() -> None:
    bench = Bench()
    asked(bench, amount=-1)
    [kept] = bench.on("dead-letters")
    assert not kept["masked"]
    assert orjson.loads(base64.b64decode(kept["value_base64"]))["amount"] == -1


def test_the_sink_keeps_none_either() -> None:
    record = Record("journal-entries", 0, 7, VISA.encode(), f'{{"cause":"{VISA}"}}'.encode(), 0)
    kept = letter("journal-entries", Rejection(record, Unpostable(Reason.INVALID_FIELD, f"not {VISA}", "cause")))
    decoded = [base64.b64decode(part or "") for part in (kept.key_base64, kept.value_base64)]
    assert card_numbers.found(b"\n".join([*decoded, orjson.dumps(kept)])) == []
    assert kept.masked
