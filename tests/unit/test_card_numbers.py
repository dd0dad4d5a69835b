"""Card numbers where none belong: found, refused, and masked in what is kept. Numbers are those that networks publish
for tests."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import card_numbers
from models.messages import ListRule, VelocityRule
from sinks.ledger.dead_letters import Rejection, letter
from sinks.ledger.errors import Reason, Unpostable
from tests.support import messages as say
from tests.support.engine import Bench, Record
from topics import codec
from topics.codec import Unreadable

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


def body_with(**changes: Any) -> bytes:
    return orjson.dumps(orjson.loads(codec.encode(say.request())) | changes)


def escaped(value: bytes) -> bytes:
    """The same JSON, but its digits within strings are escaped, so that it is read carefully."""
    return re.sub(rb'"[^"]*"', lambda text: re.sub(rb"[0-9]", lambda d: rb"\u003" + d.group(), text.group()), value)


THEIRS = ("network_reference", "merchant_id")


@pytest.mark.parametrize("way", [bytes, escaped])
@pytest.mark.parametrize("number", [VISA, "5555555555554444", "net-4000000000000000006", "4111-1111-1111-1111"])
@pytest.mark.parametrize("field", THEIRS)
def test_a_card_number_in_a_reference_is_refused_by_the_field_s_name(
    field: str, number: str, way: Callable[[bytes], bytes]
) -> None:
    for text in (number, f"ref.{number}", f"{number}.7", f"a:{number}:b"):
        with pytest.raises(Unreadable) as refused:
            codec.decode("authorizations", b"acct-1", way(body_with(**{field: text})))
        assert (refused.value.reason, refused.value.field) == ("card-number", field)
        assert number not in str(refused.value)


OTHER_PEOPLES = (
    AMEX,  # 15 digits: what Visa, American Express and Discover give a transaction, and an acceptor's id
    "74123456261234567890123",  # an acquirer reference number: 23 digits
    "24111111111111111234567",  # one with a card number in the middle
    "1786697956444999",  # a time in microseconds
    f"c0ffee{VISA}",  # within a hexadecimal digest
    f"{VISA}c0ffee",
    "4111111111111112",
)


@pytest.mark.parametrize("way", [bytes, escaped])
@pytest.mark.parametrize("number", OTHER_PEOPLES)
@pytest.mark.parametrize("field", THEIRS)
def test_what_networks_and_acquirers_assign_is_no_card_number(
    field: str, number: str, way: Callable[[bytes], bytes]
) -> None:
    message = codec.decode("authorizations", b"acct-1", way(body_with(**{field: number})))
    assert getattr(message, field) == number


@given(st.text("0123456789", max_size=15) | st.from_regex(r"[0-9]{20,40}", fullmatch=True))
def test_no_reference_of_at_most_15_or_at_least_20_digits_is_refused(reference: str) -> None:
    assert not card_numbers.stands_apart_in(reference)


@pytest.mark.parametrize("way", [bytes, escaped])
@pytest.mark.parametrize("field", ["merchant_name", "merchant_city"])
@pytest.mark.parametrize("number", [*CARDS, "4111 1111 1111 1111"])
def test_a_card_number_in_a_text_is_masked_and_the_card_works(
    number: str, field: str, way: Callable[[bytes], bytes]
) -> None:
    message = codec.decode("authorizations", b"acct-1", way(body_with(**{field: f"Café {number}, 2"})))
    text = getattr(message, field)
    assert card_numbers.found(text.encode()) == []
    assert re.fullmatch(rf"Café {number[:6]}[* ]+{number[-4:]}, 2", text)


def test_a_repeat_of_a_masked_request_is_a_repeat() -> None:
    bench = Bench()
    bench.run(say.opened())
    first, again = (asked(bench, merchant_name=f"Order {VISA}", transmitted_at=say.T0) for _ in range(2))
    assert card_numbers.found(first + again) == []
    one, two = bench.on("authorization-decisions")
    assert one == two
    assert one["outcome"] == "approved"


def test_a_card_number_in_a_reference_is_answered_by_nobody() -> None:
    bench = Bench()
    bench.run(say.opened())
    assert card_numbers.found(asked(bench, network_reference=VISA)) == []
    assert bench.on("authorization-decisions") == []
    [kept] = bench.on("dead-letters")
    assert (kept["reason"], kept["field"], kept["masked"]) == ("card-number", "network_reference", True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"message_id": VISA}, "message_id"),
        ({"card_token": AMEX}, "card_token"),
        ({"velocity": [VelocityRule("day", "day", max_count=1), VelocityRule(AMEX, "day")]}, "velocity.1.name"),
        ({"lists": [ListRule(AMEX, "merchant", "deny", ["m"])]}, "lists.0.name"),
        ({"lists": [ListRule("shops", "merchant", "deny", ["m", VISA])]}, "lists.0.values"),
    ],
)
def test_controls_hold_none(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Unreadable) as refused:
        codec.decode("account-events", b"acct-1", codec.encode(say.controls(**changes)))
    assert (refused.value.reason, refused.value.field) == ("card-number", field)


def test_a_list_of_merchants_may_name_an_acceptor_of_15_digits() -> None:
    rule = ListRule("shops", "merchant", "deny", [AMEX])
    assert codec.decode("account-events", b"acct-1", codec.encode(say.controls(lists=[rule])))


@given(st.text(alphabet="0123456789 -", min_size=0, max_size=40), st.sampled_from(CARDS))
def test_a_quick_look_misses_none(around: str, number: str) -> None:
    for text in (around, around + number, number + around, f"a{number}b"):
        data = text.encode()
        if card_numbers.found(data) or card_numbers.stands_apart_in(text):
            assert card_numbers.may_be_in(data)
    assert not card_numbers.may_be_in(b"123456789012 - 1 2".replace(b" ", b"x"))


def test_the_sink_keeps_none_either() -> None:
    record = Record("journal-entries", 0, 7, VISA.encode(), f'{{"cause":"{VISA}"}}'.encode(), 0)
    kept = letter("journal-entries", Rejection(record, Unpostable(Reason.INVALID_FIELD, f"not {VISA}", "cause")))
    decoded = [base64.b64decode(part or "") for part in (kept.key_base64, kept.value_base64)]
    assert card_numbers.found(b"\n".join([*decoded, orjson.dumps(kept)])) == []
    assert kept.masked
