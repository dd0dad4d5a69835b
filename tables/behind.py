"""Committed rows on their way to the local store: to be read at once, written by a thread of their own.

Written in turn with deciding, they would hold up what comes next, and a disk that is slow for a moment would be seen in
everybody's latency. Nothing is lost by it: the changelog has every row, and a worker that dies before its rows are
written restores them from there, because rows and offset of a partition are written together and in order, and nothing
is written any more after a write that failed.

They are gathered for `GATHER_S` before they are written. A write to each partition after each of a hundred commits a
second costs more than the rows in it, and a row that changes again meanwhile need not be written twice.

Rows stay in memory after they were written, the latest `KEPT_BYTES` of them, because a card that was just used is used
again, and reading a row from a dictionary costs a twentieth of reading it from RocksDB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Event, Lock
from typing import Final, NamedTuple, Protocol

GATHER_S: Final = 0.5
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
Write = Callable[[int, Iterable[tuple[bytes, bytes]], int], None]
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

    def __init__(
        self, read: Read, write: Write, executor: Executor, kept_bytes: int = KEPT_BYTES, gather_s: float = GATHER_S
    ) -> None:
        self._read_from_store = read
        self._write_to_store = write
        self._executor = executor
        self._generation_bytes = kept_bytes // 2
        self._gather_s = gather_s
        self._hurry = Event()
        self._lock = Lock()
        self._gathered: list[PartitionRows] = []  # the last job will take them, from its thread: with the lock
        self._failure: Exception | None = None
        self._last: Job | None = None
        self._clear()

    def _clear(self) -> None:
        self._young: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._old: Mapping[int, dict[bytes, bytes]] = defaultdict(dict)
        self._last_of_old: Job | None = None
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
        self._gather(committed)

    def _gather(self, committed: Sequence[PartitionRows]) -> None:
        with self._lock:
            nobody_comes = not self._gathered
            self._gathered += committed
        if nobody_comes and committed:
            self._last = self._executor.submit(self._write_gathered)

    def _write_gathered(self) -> None:
        """A row missing before an offset that was written would be missed for ever: after a failure nothing follows."""
        self._hurry.wait(self._gather_s)
        with self._lock:
            gathered, self._gathered = self._gathered, []
        if self._failure is not None:
            return
        try:
            for partition, (rows, offset) in _latest(gathered).items():
                self._write_to_store(partition, rows.items(), offset)
        except Exception as error:
            self._failure = error

    def _let_go_of_old(self) -> None:
        if self._last_of_old is not None:
            self._last_of_old.result()
        self._raise_failure()
        self._old, self._young, self._young_bytes = self._young, defaultdict(dict), 0
        self._last_of_old = self._last

    def settle(self) -> None:
        """Wait until the store has everything."""
        if self._last is not None:
            self._hurry.set()
            self._last.result()
            self._hurry.clear()
        self._raise_failure()

    def forget(self) -> None:
        """Partitions may leave: settle, and keep nothing, because others may write what this worker would not see."""
        self.settle()
        self._clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _latest(committed: Iterable[PartitionRows]) -> dict[int, tuple[dict[bytes, bytes], int]]:
    """{partition: (latest rows, offset of the last)}"""
    found: dict[int, tuple[dict[bytes, bytes], int]] = {}
    for partition, rows, offset in committed:
        before, _offset = found.get(partition, ({}, offset))
        before.update(rows)
        found[partition] = before, offset
    return found
