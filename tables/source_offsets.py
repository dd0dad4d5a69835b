"""How far each input of a partition is decided, kept among its rows: committed with them, restored with them.

The group's committed offsets say the same and are part of the same transaction, but it is a coordinator that tells
them, and one that came back after a crash has told offsets of nine minutes before (ADR 21). Whoever has restored the
rows knows from these what is in them.

Key: a zero byte, which no account id has, and the topic. Content of version 1: its version in a byte, the topic's id
(16 bytes, KIP-516), the offset of the next record to decide (8 bytes, big-endian). By the id a topic that was deleted
and made anew is told apart: its offsets begin again.
"""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # readers of the changelog do without Faust
    from faust.types import TP

    from tables.unit_of_work import ReadRow

_PREFIX: Final = b"\0"
FIRST_ACCOUNT: Final = b"\1"
"""No account's key is before it, and no other key behind."""
UNKNOWN_TOPIC: Final = bytes(16)
_VERSION: Final = 1
_CONTENT: Final = struct.Struct(">B16sQ")

Rows = list[tuple[bytes, bytes]]

log = logging.getLogger(__name__)


def is_account(key: bytes | None) -> bool:
    """Whether a changelog record with this key is an account's row."""
    return not (key or b"").startswith(_PREFIX)


class SourceOffsets:
    """Those of one worker's topics. `topic_ids`: as they were when it started (name -> 16 bytes)."""

    def __init__(self, topic_ids: Mapping[str, bytes], read_row: ReadRow) -> None:
        self._topic_ids = topic_ids
        self._read_row = read_row

    def rows(self, offsets: Mapping[TP, int]) -> dict[int, Rows]:
        """What to commit with the rows of each partition: `offsets` are those behind the last record decided."""
        found: defaultdict[int, Rows] = defaultdict(list)
        for tp, offset in offsets.items():
            found[tp.partition].append((_key(tp.topic), _CONTENT.pack(_VERSION, self._id(tp.topic), offset)))
        return found

    def committed(self, tp: TP) -> int | None:
        """The offset behind the last record of an input partition that is in the rows; None where they do not say."""
        content = self._read_row(tp.partition, _key(tp.topic))
        if content is None:
            return None
        if len(content) != _CONTENT.size or content[0] != _VERSION:
            log.warning("%s-%d: its source offset among the rows is not readable: %s", *tp, content.hex())
            return None
        _version, topic_id, offset = _CONTENT.unpack(content)
        if topic_id != self._id(tp.topic):
            log.warning("%s was made anew: what was decided of it before says nothing of its offsets", tp.topic)
            return None
        return int(offset)

    def _id(self, topic: str) -> bytes:
        return self._topic_ids.get(topic, UNKNOWN_TOPIC)


def _key(topic: str) -> bytes:
    return _PREFIX + topic.encode()
