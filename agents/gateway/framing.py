"""Frames on a byte stream: a length, then that many bytes of one ISO 8583 message.

    binary-2   two bytes, big-endian (the default)
    binary-4   four bytes, big-endian
    ascii-4    four digits

The length counts the message alone. A frame of length zero carries nothing (networks send them to keep a link open) and
is skipped. A length that no message has means that sender and receiver no longer agree where frames begin: nothing
behind it can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from topics.iso8583.packager import MAX_BYTES

MAX_FRAME: Final = MAX_BYTES


class Length(StrEnum):
    """How the length in front of a message is written."""

    BINARY_2 = "binary-2"
    BINARY_4 = "binary-4"
    ASCII_4 = "ascii-4"

    @property
    def width(self) -> int:
        """In bytes."""
        return 2 if self is Length.BINARY_2 else 4


class BrokenStream(ValueError):
    """The stream has lost its frames: a length that is none, or one beyond MAX_FRAME."""


def frame(message: bytes, length: Length) -> bytes:
    """The message with its length in front."""
    if length is Length.ASCII_4:
        return b"%04d" % len(message) + message
    return len(message).to_bytes(length.width, "big") + message


class Frames:
    """Cuts one stream into messages, however the network split or glued them."""

    def __init__(self, length: Length) -> None:
        self._length = length
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes. Raises BrokenStream, after the messages before the bad length."""
        self._buffer += data
        width = self._length.width
        while len(self._buffer) >= width:
            end = width + self._read_length()
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[width:end])
            del self._buffer[:end]
            if message:
                yield message

    @property
    def unfinished(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def _read_length(self) -> int:
        prefix = bytes(self._buffer[: self._length.width])
        if self._length is not Length.ASCII_4:
            length = int.from_bytes(prefix, "big")
        elif prefix.isdigit():
            length = int(prefix)
        else:
            raise BrokenStream("the length is not of digits")
        if length > MAX_FRAME:
            raise BrokenStream(f"a length of {length}, at most {MAX_FRAME}")
        return length
