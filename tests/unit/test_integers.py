"""What is an integer in the contract is one in the JSON: true, 1.0 and "1" are refused by the field's name, however the
record is read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.messages import ListRule, VelocityRule
from tests.support import messages as say
from topics import codec, quick
from topics.codec import TOPIC_OF_TYPE, Unreadable

RULES = {"velocity": [VelocityRule("day", "trailing", 60, 1, 1)], "lists": [ListRule("l", "mcc", "deny", ["5411"])]}
MESSAGES = {message.type: message for message in [*say.one_of_each(), say.controls(**RULES)]}


def kinds(hint: Any) -> Iterator[Any]:
    """The plain types in a hint, those of literals' values among them; no list and no literal of text."""
    if get_origin(hint) is Literal:
        yield from {type(value) for value in get_args(hint)}
    elif get_args(hint) and get_origin(hint) is not list:
        for part in get_args(hint):
            yield from kinds(part)
    else:
        yield hint


def fields(kind: type[Any], of: type[Any]) -> list[str]:
    return [name for name, hint in get_type_hints(kind, include_extras=True).items() if of in kinds(hint)]


PLACES = [(name, (field,)) for name, message in MESSAGES.items() for field in fields(type(message), int)]
PLACES += [("controls-set", ("velocity", 0, field)) for field in fields(VelocityRule, int)]
TRUTHS = [(name, (field,)) for name, message in MESSAGES.items() for field in fields(type(message), bool)]


def refusal(name: str, place: tuple[Any, ...], part: Any) -> str | None:
    """The field that is named when `part` stands at `place` of that message; None when it is taken."""
    body = copy.deepcopy(orjson.loads(codec.encode(MESSAGES[name])))
    target = body
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = part
    value = orjson.dumps(body)
    taken = quick.read(value) is not None
    key = body.get("account_id", "").encode() or None
    try:
        codec.decode(TOPIC_OF_TYPE[name], key, value)
    except Unreadable as error:
        reason, field = error.reason, error.field
    else:
        return None
    assert (taken, reason) == (False, "invalid-field")
    return field


def test_all_messages_have_integers_and_they_are_found() -> None:
    assert {name for name, _place in PLACES} == set(TOPIC_OF_TYPE)
    assert {place[-1] for _name, place in PLACES} >= {
        "version", "amount", "mcc", "card_expiry", "transmitted_at", "conversion_rate", "credit_limit", "max_count",
    }  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("part", [True, 1.0, "1"])
def test_a_version_is_the_integer_1(name: str, part: Any) -> None:
    assert refusal(name, ("version",), part) == "version"
    assert refusal(name, ("version",), 1) is None


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NO_INTEGERS = st.booleans() | FLOATS | st.integers().map(str) | st.integers().map(float) | st.just([])


@given(st.sampled_from(PLACES), NO_INTEGERS)
def test_nothing_but_an_integer_is_taken_for_one(place: tuple[str, tuple[Any, ...]], part: Any) -> None:
    assert refusal(*place, part) == ".".join(map(str, place[1]))


@given(st.sampled_from(TRUTHS), st.sampled_from([0, 1, 0.0, 1.0, "true", "1", ""]))
def test_nothing_but_true_and_false_is_taken_for_either(place: tuple[str, tuple[Any, ...]], part: Any) -> None:
    assert refusal(*place, part) == place[1][0]
