"""Every decoder on what was kept, and on random changes to it; `make fuzz` does so with libFuzzer and many more."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest

from agents.gateway import framing
from sinks.ledger import decoding
from tables import rows
from tests.fuzz import corpus
from tests.fuzz.seeds import SEEDS, words
from tests.fuzz.targets import TARGETS
from topics import codec
from topics.iso8583 import packager

CHANGED = 1500
"""Inputs a target that are changed at random."""
WORDS = [word.encode() for word in sorted(words())]


def kept(target: str) -> list[bytes]:
    return [*SEEDS[target](), *corpus.reaching(target), *corpus.found(target)]


def changed(random_: random.Random, data: bytes) -> bytes:
    """Some bytes replaced, taken out, doubled, or a word put in."""
    found = bytearray(data)
    for _ in range(random_.randrange(1, 6)):
        at, until = sorted(random_.randrange(len(found) + 1) for _ in "12")
        kind = random_.randrange(5)
        if kind == 0 and found:
            found[at % len(found)] = random_.randrange(256)
        elif kind == 1:
            del found[at : min(until, at + 8)]
        elif kind == 2:
            found[at:at] = found[at:until]
        elif kind == 3:
            found[at:at] = random_.choice(WORDS)
        else:
            found[at:until] = random_.randbytes(until - at)
    return bytes(found[:8192])


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_kept_and_changes_to_it(target: str) -> None:
    inputs, random_ = kept(target), random.Random(1)
    assert len(inputs) > 5
    for number in range(-len(inputs), CHANGED):
        data = inputs[number] if number < 0 else changed(random_, random_.choice(inputs))
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"{target}: {base64.b64encode(data).decode()}") from error


def test_the_seeds_are_right_inputs() -> None:
    """Otherwise nothing behind the first check would be tried."""
    for data in SEEDS["row"]():
        rows.decode(data)
    for data in SEEDS["iso_elements"]():
        assert isinstance(packager.unpack(data), dict)
    for data in SEEDS["entry"]():
        decoding.decode(orjson.loads(data)["account_id"].encode(), data)
    for data in SEEDS["record"]():
        assert json.loads(data[1:])["type"] in codec.TOPIC_OF_TYPE


def _late(function: Callable[..., Any], error: type[Exception]) -> Callable[..., Any]:
    """The function, which raises for longer inputs."""

    def wrong(*arguments: Any) -> Any:
        if any(isinstance(each, bytes) and len(each) > 100 for each in arguments):
            raise error("planted")
        return function(*arguments)

    return wrong


@pytest.mark.parametrize(
    ("target", "owner", "name", "error"),
    [
        ("record", codec, "decode", KeyError),
        ("entry", decoding, "decode", IndexError),
        ("row", rows, "decode", msgspec.DecodeError),
        ("iso_elements", packager.iso8583, "decode", ValueError),
        ("frames", framing.Frames, "feed", OverflowError),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, target: str, owner: Any, name: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(owner, name, _late(getattr(owner, name), error))
    with pytest.raises(AssertionError, match=target):
        test_what_was_kept_and_changes_to_it(target)
