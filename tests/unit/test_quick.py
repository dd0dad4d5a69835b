"""The quick way reads what it takes as pydantic does, and it takes what producers send."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.messages import ControlsSet
from models.money import MAX_MINOR
from tests.support import messages as say
from topics import quick
from topics.codec import Unreadable, encode, read_carefully

ALL = [message for message in say.one_of_each() if not isinstance(message, ControlsSet)]
NAMES = sorted({name for message in ALL for name in type(message).__dataclass_fields__})
CARDS = ["4111111111111111", "4111-1111-1111-1111", "378282246310005", "4222222222222", "6759649826438453000"]
LIMITS = [0, 1, 9999, 10_000, 10**15, MAX_MINOR, 253402300799000, 200001, 299912]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([limit + step for limit in LIMITS for step in (-1, 0, 1)] + [2**63, 2**64, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=70),
    st.text(alphabet="Az09._:- \x7f\x1f\x1eé\n", max_size=70),
    st.sampled_from(["None", "null", "", "a" * 200, "a" * 201, "é" * 40, "é" * 41, "US\n", "USD", "US", "123456"]),
    st.from_regex(
        r"([A-Za-z.:_-]{0,3}[0-9 -]{0,4}(" + "|".join(CARDS) + r")?[0-9 -]{0,3}[a-z.]?){1,2}", fullmatch=True
    ),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
KINDS = st.sampled_from([message.type for message in ALL] + ["controls-set", "unheard-of"])


def body_of(message: Any) -> dict[str, Any]:
    return dict(orjson.loads(encode(message)))


def as_json(body: dict[str, Any]) -> bytes:
    """Compact, and with numbers of any size."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def same_as_careful(value: bytes) -> bool:
    """Whether the quick way took it; raises when it then read something else than the careful way."""
    message = quick.read(value)
    if message is None:
        return False
    careful = read_carefully(value)
    assert (type(message), message) == (type(careful), careful)
    assert encode(message) == encode(careful)  # true is not 1
    return True


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.type)
def test_what_producers_send_is_read_quickly(message: Any) -> None:
    body = body_of(message)
    given_only = {name: part for name, part in body.items() if part is not None}
    backwards = dict(reversed(body.items()))
    defaults = {part.name: part.default for part in dataclasses.fields(message)}
    changed_only = {name: part for name, part in body.items() if part != defaults[name]}
    for variant in (body, given_only, backwards, changed_only):
        assert same_as_careful(orjson.dumps(variant))


@given(
    st.sampled_from(ALL),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=1),
    KINDS | st.none(),
)
@example(say.request(), {"stan": "None"}, set(), [], None)
@example(say.request(), {"currency": "USD\n"}, set(), [], None)
@example(say.request(), {"stan": "\x1e"}, set(), [], None)
@example(say.request(), {"version": True}, set(), [], None)
@example(say.request(), {"merchant_name": CARDS[0]}, set(), [], None)
@example(say.request(), {"merchant_city": f"é {CARDS[2]}", "merchant_id": CARDS[2]}, set(), [], None)
@example(say.request(), {"network_reference": CARDS[1]}, set(), [], None)
@example(say.request(), {}, {"stan"}, [("rrn", "1")], None)
@example(say.request(), {}, {"type"}, [("type", "reversal")], None)
def test_whatever_it_takes_it_reads_as_the_careful_way_does(
    message: Any, changed: dict[str, Any], gone: set[str], twice: list[tuple[str, Any]], kind: str | None
) -> None:
    body = {**body_of(message), **changed}
    if kind is not None:
        body["type"] = kind
    for name in gone & body.keys():
        del body[name]
    value = as_json(body)
    for name, part in twice:
        value = value[:-1] + b"," + as_json({name: part})[1:]
    same_as_careful(value)


@given(st.sampled_from([encode(message) for message in ALL]), st.data())
def test_bytes_put_in_or_taken_out(value: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(start + 5, len(value))))
    middle = data.draw(
        st.binary(max_size=4) | st.sampled_from([b'"', b'":', b"\\u0041", b"\x1e", b"\x1f", b"-0", b"1.0"])
    )
    same_as_careful(value[:start] + middle + value[end:])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("network_reference", "\u2168"),
        ("amount", MAX_MINOR + 1),
        ("amount", -1),
        ("amount", 1.0),
        ("amount", "1"),
        ("amount", True),
        ("currency", "usd"),
        ("merchant_name", ""),
        ("merchant_name", "a" * 201),
        ("merchant_name", "a\x7f"),
        ("entry_mode", "telepathy"),
        ("card_present", 1),
        ("stan", "None"),
        ("mcc", None),
        ("unheard_of", 1),
        ("network_reference", CARDS[0]),
    ],
)
def test_what_is_wrong_is_left_to_the_careful_way(name: str, part: Any) -> None:
    assert quick.read(orjson.dumps({**body_of(say.request()), name: part})) is None


@pytest.mark.parametrize("more", [b',"amount":7}', b',"amount" : 7}', rb',"amoun\u0074":7}'])
def test_a_repeated_key_is_left_to_the_careful_way(more: bytes) -> None:
    assert quick.read(encode(say.request())[:-1] + more) is None


def test_a_repeated_key_cannot_hide_behind_one_that_is_missing() -> None:
    body = body_of(say.request(stan="123456"))
    del body["rrn"]
    value = orjson.dumps(body)
    assert quick.read(value) is not None
    repeated = value[:-1] + b',"stan":"654321"}'
    assert quick.read(repeated) is None
    with pytest.raises(Unreadable, match="repeated-key"):
        read_carefully(repeated)
