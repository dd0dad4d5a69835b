"""What must hold for any bytes: a decoder gives what it promises or its own named error, and what it takes for right
survives being encoded and decoded again. Anything else is raised, and is a fault."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import orjson

from agents.gateway import replies
from agents.gateway.framing import BrokenStream, Frames, Length
from models.account import Account
from sinks.ledger import decoding
from sinks.ledger.errors import Unpostable
from tables import rows
from topics import codec, quick
from topics.declarations import INPUTS
from topics.iso8583 import Malformed, decode
from topics.iso8583.packager import pack, unpack

PAN: Final = "9999990000000016"
NOW: Final = 1_790_000_000_000
LENGTHS: Final = tuple(Length)


def record(data: bytes) -> None:
    """A record of an input topic; the first byte says of which."""
    if not data:
        return
    topic, value = INPUTS[data[0] % len(INPUTS)].name, data[1:]
    key = _account_id(value)
    quickly = quick.read(value)
    assert quickly is None or quickly == codec.read_carefully(value)
    refused = codec.refused(value)
    assert refused is None or all(refused)
    try:
        message = codec.decode(topic, key, value)
    except codec.Unreadable:
        return
    again = codec.decode(topic, key, codec.encode(message))
    assert again == message, f"{again} is not {message}"


def reply(data: bytes) -> None:
    """A record of the replies, as the gateway reads it."""
    with suppress(ValueError):
        body = replies.parse(data)
        assert len(replies.key_of(body)) == 3
        replies.validate(body)


def entry(data: bytes) -> None:
    """A record of the journal, as the sink reads it."""
    with suppress(Unpostable):
        found = decoding.decode(_account_id(data), data)
        assert sum(found.amounts) == 0
        assert found.amounts


def row(data: bytes) -> None:
    """A row of the accounts table."""
    with suppress(rows.UnreadableRow):
        assert type(rows.decode(data)) is Account
    if data:
        assert rows.due_at(data) >= 0


def iso_elements(data: bytes) -> None:
    """The elements of an ISO 8583 message."""
    found = unpack(data)
    if not isinstance(found, Malformed):
        again = unpack(pack(found))
        assert again == found, f"{again} is not {found}"


def iso_message(data: bytes) -> None:
    """A request, advice or reversal over ISO 8583. What is wrong with one never says a card number."""
    message = decode(data, NOW, lambda pan: ("acct-1", "card-1") if pan == PAN else None)
    if isinstance(message, Malformed):
        assert PAN not in str(message)
        return
    value = codec.encode(message)
    assert PAN.encode() not in value
    assert codec.decode("authorizations", b"acct-1", value) == message


def frames(data: bytes) -> None:
    """A stream of frames: the first byte says how lengths are written, the second where the network cuts it."""
    if len(data) < 2:
        return
    length, cut, stream = LENGTHS[data[0] % len(LENGTHS)], data[1], data[2:]
    assert _frames(length, stream) == _frames(length, stream[:cut], stream[cut:])


def _frames(length: Length, *parts: bytes) -> tuple[list[bytes], bool | None]:
    """The messages, and whether one is unfinished; None when the stream is broken."""
    cutter, found = Frames(length), []
    try:
        for part in parts:
            found.extend(cutter.feed(part))
    except BrokenStream:
        return found, None
    return found, cutter.unfinished


def _account_id(value: bytes) -> bytes | None:
    """What the key would be if it were right."""
    try:
        body: Any = orjson.loads(value)
        return body["account_id"].encode()  # type: ignore[no-any-return]
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError, UnicodeEncodeError):
        return None


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target for target in (record, reply, entry, row, iso_elements, iso_message, frames)
}
