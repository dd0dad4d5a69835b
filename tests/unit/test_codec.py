"""Untrusted JSON: whatever is not exactly a known message is refused with a reason and the field's name."""

from __future__ import annotations

import dataclasses
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.authorization import unremembered
from models.journal import EntryType
from models.messages import AuthorizationRequest, JournalEntry, Posting
from models.outcomes import DeclineReason
from tests.support import messages as say
from topics import codec
from topics.codec import Unreadable

FULLWIDTH_12 = "\uff11\uff12".encode()
GOOD = codec.encode(say.request(amount=1234))


def refuse(value: bytes | None, key: bytes = b"acct-1", topic: str = "authorizations") -> tuple[str, str | None]:
    with pytest.raises(Unreadable) as refused:
        codec.decode(topic, key, value)
    return refused.value.reason, refused.value.field


def with_amount(literal: bytes) -> bytes:
    return GOOD.replace(b":1234,", b":" + literal + b",")


def test_what_is_encoded_is_decoded() -> None:
    for message, topic, key in [
        (say.request(), "authorizations", b"acct-1"),
        (say.reversal(), "authorizations", b"acct-1"),
        (say.presentment(), "clearings", b"acct-1"),
        (say.payment(), "payments", b"acct-1"),
        (say.opened(), "account-events", b"acct-1"),
        (say.tick(say.T0), "clock", None),
    ]:
        assert codec.decode(topic, key, codec.encode(message)) == message


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
def test_what_is_encoded_is_json_that_another_library_writes_alike(text: str, amount: int) -> None:
    entry = JournalEntry(
        "journal-entry", 1, text, 7, EntryType.HOLD_PLACED, text, "USD", amount, [Posting("a", amount), Posting("b", 0)]
    )
    decline = unremembered(say.request(), DeclineReason.UNKNOWN_CARD, None)
    decline.detail, decline.amount = text, amount
    for message in (entry, decline, say.request(merchant_name=text, amount=amount)):
        assert codec.encode(message) == orjson.dumps(message)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
def test_i1_i2_not_a_number_names_the_field(literal: bytes) -> None:
    reason, field = refuse(with_amount(literal))
    assert (reason, field) in {("invalid-field", "amount"), ("not-json", None)}
    assert reason == "invalid-field" or b"Infinity" in literal or literal == b"NaN"


@pytest.mark.parametrize("literal", [b"1e1000000000", b"9" * 5000, b"-" + b"9" * 5000, b"0." + b"3" * 5000])
def test_i3_i4_endless_numbers_are_refused_before_conversion(literal: bytes) -> None:
    reason, _field = refuse(with_amount(literal))
    assert reason in {"number-too-long", "invalid-field"}
    assert reason == "number-too-long" or len(literal) < 20


def test_i4_the_same_in_a_field_we_do_not_know() -> None:
    assert refuse(GOOD[:-1] + b',"extra":' + b"9" * 5000 + b"}")[0] == "number-too-long"


@pytest.mark.parametrize(
    "value",
    [
        GOOD[:-1] + b',"amount":7}',
        GOOD[:-1] + b',"amount" : 7}',
        GOOD[:-1] + rb',"amoun\u0074":7}',
        GOOD.replace(b'"merchant_name":"Corner Shop"', b'"merchant_name":"a:b","merchant_name":"c"'),
    ],
)
def test_i5_a_repeated_key_is_refused(value: bytes) -> None:
    assert refuse(value)[0] == "repeated-key"


def test_i5_a_repeated_key_inside_an_unknown_field_is_refused() -> None:
    assert refuse(GOOD[:-1] + b',"extra":{"x":1,"x":2}}') == ("repeated-key", "x")


def test_a_repeated_key_cannot_hide_behind_a_missing_one() -> None:
    """The colon count is right when one key is missing and another stands twice."""
    value = GOOD.replace(b'"mcc":5411', b'"amount":5')
    assert refuse(value) == ("invalid-field", "mcc")


def test_unknown_fields_are_tolerated() -> None:
    assert codec.decode("authorizations", b"acct-1", GOOD[:-1] + b',"added_in_2031":{"x":[1,2]}}') == say.request(
        amount=1234
    )


@pytest.mark.parametrize("name", ["Café ☕", "Shop™", "😀" * 50, "Ünïcödé: with a colon", "שלום", "a" * 200])
def test_i9_any_merchant_name_is_welcome(name: str) -> None:
    message = say.request(merchant_name=name)
    assert codec.decode("authorizations", b"acct-1", codec.encode(message)) == message


@pytest.mark.parametrize("raw", [rb"\ud800", rb"\udfff\ud800", b"\xed\xa0\x80", b"\xff"])
def test_i12_a_lone_surrogate_or_bad_utf8_is_refused(raw: bytes) -> None:
    assert refuse(GOOD.replace(b"Corner", raw))[0] == "not-json"


def test_e12_a_nul_byte_in_a_name_is_refused() -> None:
    assert refuse(GOOD.replace(b"Corner", rb"a\u0000b")) == ("invalid-field", "merchant_name")


@pytest.mark.parametrize(
    "literal", [b'"1_000"', b"1_000", FULLWIDTH_12, b'"' + FULLWIDTH_12 + b'"', b'"12"', b"12.0", b"1.5", b"true",
                b"null", b"-1", b"-0.00", b"10000000000001", b"[1]"]
)  # fmt: skip
def test_i13_b9_only_a_plain_integer_is_an_amount(literal: bytes) -> None:
    reason, field = refuse(with_amount(literal))
    assert (reason, field) in {("invalid-field", "amount"), ("not-json", None)}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"x", "not-json"),
        (b"[]", "invalid-field"),
        (b"null", "invalid-field"),
        (b'{"type":"wire-transfer"}', "unknown-type"),
        (b"{}", "unknown-type"),
        (b'{"type":"payment-received"}', "invalid-field"),
        (codec.encode(say.payment()), "wrong-topic"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not-json"),
        (GOOD[:-1] + b',"x":"' + b"y" * 70_000 + b'"}', "too-large"),
        (GOOD.replace(b'"version":1', b'"version":2'), "invalid-field"),
    ],
)
def test_everything_else_that_is_no_message(value: bytes | None, reason: str) -> None:
    assert refuse(value)[0] == reason


def test_the_key_must_be_the_account() -> None:
    assert refuse(GOOD, key=b"acct-2") == ("key-mismatch", "account_id")


def test_every_single_missing_field_is_named() -> None:
    body = orjson.loads(GOOD)
    for part in dataclasses.fields(AuthorizationRequest):
        rest = orjson.dumps({k: v for k, v in body.items() if k != part.name})
        if part.default is not dataclasses.MISSING:
            assert codec.decode("authorizations", b"acct-1", rest) == codec.decode("authorizations", b"acct-1", GOOD)
        elif part.name != "type":
            assert refuse(rest) == ("invalid-field", part.name)


@pytest.mark.parametrize("dropped", [0, 5, 10])
def test_i5_a_repeated_key_is_found_whatever_optional_fields_are_left_out(dropped: int) -> None:
    body = orjson.loads(GOOD)
    fields = dataclasses.fields(AuthorizationRequest)
    optional = [part.name for part in fields if part.default is not dataclasses.MISSING]
    for name in optional[:dropped]:
        del body[name]
    twice = orjson.dumps(body)[:-1] + b',"amount":7}'
    assert refuse(twice) == ("repeated-key", "amount")
    # As many colons as the message has fields: one is missing, another stands there twice.
    del body[optional[-1]]
    assert refuse(orjson.dumps(body)[:-1] + b',"amount":7}') == ("repeated-key", "amount")


def test_a_malformed_request_that_names_itself_can_be_answered() -> None:
    assert codec.refused(with_amount(b'"x"')) == ("authorization-request", "ref-1", "acct-1")
    increment = codec.encode(say.increment("inc-1", "ref-1")).replace(b":1000,", b":-5,")
    assert codec.refused(increment) == ("authorization-increment", "inc-1", "acct-1")
    assert codec.refused(codec.encode(say.reversal())) is None
    assert codec.refused(b"x") is None
    assert codec.refused(None) is None
    assert codec.refused(GOOD.replace(b'"ref-1"', b'["ref-1"]')) is None


def test_amounts_stay_integers() -> None:
    message = codec.decode("authorizations", b"acct-1", GOOD)
    assert type(message.amount) is int  # type: ignore[union-attr]
    assert math.log10(message.amount) < 13  # type: ignore[union-attr]
