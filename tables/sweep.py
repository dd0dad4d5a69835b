"""Walks through a partition's rows a few at a time, so that ended holds are written down without an index or a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tables.rows import due_at

ROWS_PER_TICK: Final = 200

Scan = Callable[[int, bytes, int], list[tuple[bytes, bytes]]]
"""(partition, after key, limit) -> rows in key order"""


class RoundRobin:
    """One cursor a partition; it starts over when it reaches the end. Losing it costs nothing but a round.

    Rows are looked at without decoding them, so that a tick does not hold up the authorisations behind it.
    """

    def __init__(self, scan: Scan, rows_per_tick: int = ROWS_PER_TICK) -> None:
        self._scan = scan
        self._rows_per_tick = rows_per_tick
        self._after: dict[int, bytes] = {}

    def next_rows(self, partition: int, now: int) -> list[bytes]:
        """Of the next rows of `partition` in key order, the keys of those with something to do at `now`."""
        rows = self._scan(partition, self._after.get(partition, b""), self._rows_per_tick)
        self._after[partition] = rows[-1][0] if len(rows) == self._rows_per_tick else b""
        return [key for key, row in rows if due_at(row) <= now]
