"""The rows that were written last, in memory: a card that was just used is used again, and reading a row from a
dictionary costs a twentieth of reading it from RocksDB.

They are in two generations. When the young one is full it becomes the old one, and what was old before leaves: some
rows for each that comes, because freeing 32 MB of rows at once takes 40 ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

ROW_OVERHEAD_BYTES: Final = 200
"""What Python needs for a row besides its content: two objects and a place in a dictionary."""
FREED_FOR_ONE: Final = 2
"""Rows that leave the memory for one that comes: all of a generation have left before the next is full."""


class RecentRows:
    """Rows by partition and key, about `most_bytes` of them."""

    def __init__(self, most_bytes: int) -> None:
        self._generation_bytes = most_bytes // 2
        self.clear()

    def clear(self) -> None:
        """Keep nothing."""
        self._young: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._old: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._leaving: list[dict[bytes, bytes]] = []
        self._young_bytes = 0

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The latest row; None when it is not kept."""
        return self._young[partition].get(key) or self._old[partition].get(key)

    def put(self, partition: int, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """From now on these are the latest. A row that changes again and again is counted once."""
        young = self._young[partition]
        there = len(young)
        replaced = sum([len(young.get(key, b"")) for key, _row in rows])
        young.update(rows)
        self._young_bytes += sum([len(row) for _key, row in rows]) - replaced
        self._young_bytes += (len(young) - there) * ROW_OVERHEAD_BYTES
        self._free(FREED_FOR_ONE * len(rows))

    @property
    def full(self) -> bool:
        """The young generation has all that it may have."""
        return self._young_bytes >= self._generation_bytes

    def age(self) -> None:
        """The young generation becomes the old one; what was old is not kept any more."""
        self._leaving += self._old.values()
        self._old, self._young, self._young_bytes = self._young, defaultdict(dict), 0

    def _free(self, most: int) -> None:
        while most > 0 and self._leaving:
            rows = self._leaving[-1]
            for _ in range(min(most, len(rows))):
                rows.popitem()
                most -= 1
            if not rows:
                self._leaving.pop()
