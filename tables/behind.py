"""Committed rows on their way to the local store: to be read at once, written by a thread of their own.

Written in turn with deciding, they would hold up what comes next, and a disk that is slow for a moment would be seen in
everybody's latency. Nothing is lost by it: the changelog has every row, and a worker that dies before its rows are
written restores them from there, because rows and offset of a partition are written together and in order, and nothing
is written any more after a write that failed.

Rows stay in memory after they were written, the latest `KEPT_BYTES` of them, because a card that was just used is used
again, and reading a row from a dictionary costs a twentieth of reading it from RocksDB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

KEPT_BYTES: Final = 64 * 1024 * 1024
ROW_OVERHEAD_BYTES: Final = 200
"""What Python needs for a row besides its content: two objects and a place in a dictionary."""


class PartitionRows(NamedTuple):
    """Committed rows of one partition, (key, row) in order, and the changelog offset of the last of them."""

    partition: int
    rows: Sequence[tuple[bytes, bytes]]
    offset: int


Read = Callable[[int, bytes], bytes | None]
"""(partition, key) -> the row in the store, or None."""
Write = Callable[[int, Sequence[tuple[bytes, bytes]], int], None]
"""(partition, rows, changelog offset): to the store, in one write."""


class Job(Protocol):
    def result(self) -> None:
        """Wait until it was run."""


class Executor(Protocol):
    """Runs one job after the other, in order."""

    def submit(self, run: Callable[[], None], /) -> Job: ...


class WriteBehind:
    """To be used by one thread; `write` of the store is called by the executor's.

    Whatever the store raises while writing is raised by the next call of `write` or `settle`.
    """

    def __init__(self, read: Read, write: Write, executor: Executor, kept_bytes: int = KEPT_BYTES) -> None:
        self._read_from_store = read
        self._write_to_store = write
        self._executor = executor
        self._generation_bytes = kept_bytes // 2
        self._failure: Exception | None = None
        self._last: Job | None = None
        self._clear()

    def _clear(self) -> None:
        self._young: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._old: Mapping[int, dict[bytes, bytes]] = defaultdict(dict)
        self._young_bytes = 0

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The committed row of an account, or None."""
        row = self._young[partition].get(key) or self._old[partition].get(key)
        return self._read_from_store(partition, key) if row is None else row

    def write(self, committed: Sequence[PartitionRows]) -> None:
        """From now on these are what is read. Waits for the store when it is far behind."""
        self._raise_failure()
        if self._young_bytes >= self._generation_bytes:
            self._let_go_of_old()
        for partition, rows, _offset in committed:
            self._young[partition].update(rows)
            self._young_bytes += sum([len(row) for _key, row in rows]) + len(rows) * ROW_OVERHEAD_BYTES
        self._last = self._executor.submit(lambda: self._write(committed))

    def _write(self, committed: Sequence[PartitionRows]) -> None:
        """A row missing before an offset that was written would be missed for ever: after a failure nothing follows."""
        if self._failure is not None:
            return
        try:
            for partition, rows, offset in committed:
                self._write_to_store(partition, rows, offset)
        except Exception as error:
            self._failure = error

    def _let_go_of_old(self) -> None:
        self.settle()
        self._old, self._young, self._young_bytes = self._young, defaultdict(dict), 0

    def settle(self) -> None:
        """Wait until the store has everything."""
        if self._last is not None:
            self._last.result()
        self._raise_failure()

    def forget(self) -> None:
        """Partitions may leave: settle, and keep nothing, because others may write what this worker would not see."""
        self.settle()
        self._clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
