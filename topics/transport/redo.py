"""What follows from released decisions, written with them: whoever finds decisions whose transaction never came does
what they say, instead of deciding again (decision 23).

It travels in a header of the first record of a batch of decisions, so that both are in the log or neither is. Bytes: a
byte for the version, then MessagePack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

HEADER: Final = "otb-redo"
_VERSION: Final = b"\1"


class Work(msgspec.Struct, array_like=True, gc=False):
    """What one slice has made of one partition, beside its released decisions. Records are (key, value), in order."""

    offsets: dict[str, int]  # by input topic, behind the last record decided
    rows: list[tuple[bytes, bytes]]  # for the changelog
    records: dict[str, list[tuple[bytes | None, bytes]]]  # by topic

    @property
    def size(self) -> int:
        """Records in it."""
        return len(self.rows) + sum(map(len, self.records.values()))

    @property
    def value_bytes(self) -> int:
        """In its records, without their keys."""
        rows = sum(len(row) for _key, row in self.rows)
        return rows + sum(len(value) for records in self.records.values() for _key, value in records)


class UnreadableRedo(ValueError):
    """A header that this release cannot read: written by a later one, or damaged."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Work])


def encode(works: Sequence[Work]) -> bytes:
    """As a header's content."""
    return _VERSION + _encoder.encode(works)


def decode(content: bytes) -> list[Work]:
    """Raises UnreadableRedo."""
    if content[:1] != _VERSION:
        raise UnreadableRedo(f"{HEADER} of version {content[:1].hex() or 'none'}; this release reads 01")
    try:
        return _decoder.decode(content[1:])
    except Exception as error:  # of damage the decoder tells in several ways
        raise UnreadableRedo(f"{HEADER}: {error!r}") from error
