"""The local store, in a dictionary: what is left of a worker that died, if anything. And the thread that writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tables.source_offsets import is_account
from tests.simulation.turns import until
from tests.support.jobs import Jobs


class Store:
    """Rows by partition and key, beside the changelog offset up to which they are complete."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[bytes, bytes]] = {}
        self.offsets: dict[int, int] = {}

    def copy(self) -> Store:
        """As of now: a process that died, or will, may leave this to its successor."""
        other = Store()
        other.rows = {partition: dict(rows) for partition, rows in self.rows.items()}
        other.offsets = dict(self.offsets)
        return other

    def row(self, partition: int, key: bytes) -> bytes | None:
        return self.rows.get(partition, {}).get(key)

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes]], offset: int | None) -> None:
        """Rows and offset at once; the offset comes with the last of them."""
        self.rows.setdefault(partition, {}).update(rows)
        if offset is not None:
            self.offsets[partition] = offset

    def scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows of accounts in key order behind `after`."""
        rows = self.rows.get(partition, {})
        return sorted(item for item in rows.items() if item[0] > after and is_account(item[0]))[:limit]


class Writer(Jobs):
    """A worker's thread for the rows: an activity of its own, which comes to its jobs when the scheduler likes."""

    def __init__(self, is_quick: Callable[[], bool]) -> None:
        """`is_quick`: whether the disk has come to the next job."""
        super().__init__()
        self._is_quick = is_quick

    async def work(self) -> None:
        while True:
            await until("rows to write", lambda: bool(self.jobs) and self._is_quick())
            self.run_one()
