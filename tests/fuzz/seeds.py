"""Right inputs of every kind, made by the encoders that the system uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from typing import get_args

import orjson

from agents.gateway.framing import frame
from models import messages
from models.messages import AuthorizationMessage, Inbound
from tests.fuzz.targets import LENGTHS, NOW, PAN
from tests.support import messages as say
from tests.support.engine import Bench
from topics import codec
from topics.codec import TOPIC_OF_TYPE
from topics.declarations import INPUTS
from topics.iso8583 import Origin, Original, encode_request
from topics.iso8583.encode import MESSAGE_TYPES

BETWEEN = 1000
"""Milliseconds between one message and the next; all close to NOW, as ISO 8583 has no year."""


def _messages() -> list[Inbound]:
    """One of every type and kind, at times in an order in which most of them do something."""
    return [replace(each, transmitted_at=NOW + BETWEEN * number) for number, each in enumerate(say.one_of_each())]


def _decided() -> Bench:
    bench = Bench()
    for message in _messages():
        bench.run(message)
    return bench


def record() -> Iterator[bytes]:
    names = [spec.name for spec in INPUTS]
    for message in _messages():
        yield bytes([names.index(TOPIC_OF_TYPE[message.type])]) + codec.encode(message)


def reply() -> Iterator[bytes]:
    yield from (orjson.dumps(body) for body in _decided().on("authorization-decisions"))


def entry() -> Iterator[bytes]:
    yield from (orjson.dumps(body) for body in _decided().on("journal-entries"))


def row() -> Iterator[bytes]:
    bench = Bench()
    for message in _messages():
        bench.run(message)
        yield from bench.rows.values()
    yield from (b"\x01" + row[9:] for row in bench.rows.values())


def iso_message() -> Iterator[bytes]:
    """Every type and its repeat, with and without the message it refers to."""
    for message in _messages():
        if isinstance(message, get_args(AuthorizationMessage)):
            for message_type in MESSAGE_TYPES[message.type]:
                for original in (None, Original("0100", "000001", NOW)):
                    yield encode_request(message, Origin(PAN, "12345", "000002", "T1", original), message_type)


def frames() -> Iterator[bytes]:
    some = [b"", b"0100", *islice(iso_message(), 2)]
    for number, length in enumerate(LENGTHS):
        yield bytes([number, 7]) + b"".join(frame(message, length) for message in some)


def words() -> set[str]:
    """Names and values that random changes would hardly hit upon."""
    found = set()
    for name, kind in vars(messages).items():
        if isinstance(kind, type) and name[0].isupper() and hasattr(kind, "__dataclass_fields__"):
            found |= {f'"{field.name}":' for field in fields(kind)}
    return (
        found | {f'"{kind}"' for kind in TOPIC_OF_TYPE} | {"null", "true", "false", "1e400", "-0", "\\ud800", '"USD"'}
    )


SEEDS = {
    "record": record, "reply": reply, "entry": entry, "row": row, "iso_elements": iso_message,
    "iso_message": iso_message, "frames": frames,
}  # fmt: skip
"""By target"""
