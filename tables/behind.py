"""Committed rows on their way to the local store: to be read at once, written by a thread of their own.

Written in turn with deciding, they would hold up what comes next, and a disk that is slow for a moment would be seen in
everybody's latency. Nothing is lost by it: the changelog has every row, and a worker that dies before its rows are
written restores them from there, because an offset is written with the last of the rows before it, never earlier, and
nothing is written any more after a write that failed. Rows may be newer than the offset says: they come again.

They are gathered for `GATHER_S` before they are written. A write to each partition after each of a hundred commits a
second costs more than the rows in it, and a row that changes again meanwhile need not be written twice. Then they go a
few at a time, spread over as long again: rocksdict keeps Python's lock (the GIL) while RocksDB writes, and a thread
that writes half a second of rows at once keeps everything else from going on for some 30 ms.

Rows stay in memory after they were written, the latest `KEPT_BYTES` of them (tables/recent.py). What is not written
yet is always among them: an old generation leaves when all of it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final, NamedTuple, Protocol

from tables.recent import RecentRows

GATHER_S: Final = 0.5
WRITE_BYTES: Final = 16 * 1024
"""Of rows, written at once: 0.1 to 0.4 ms."""
KEPT_BYTES: Final = 64 * 1024 * 1024


class PartitionRows(NamedTuple):
    """Committed rows of one partition, (key, row) in order, and the changelog offset of the last of them."""

    partition: int
    rows: Sequence[tuple[bytes, bytes]]
    offset: int


Read = Callable[[int, bytes], bytes | None]
"""(partition, key) -> the row in the store, or None."""
Write = Callable[[int, Iterable[tuple[bytes, bytes]], int | None], None]
"""(partition, rows, changelog offset): to the store, in one write; None where more rows of the same offset follow."""


@dataclass(slots=True)
class _Latest:
    """What is gathered of a partition. Not more than is kept in memory: each row is among the recent ones."""

    rows: dict[bytes, bytes]
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the rows."""
        return sum(map(len, self.rows.values()))


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
        self,
        read: Read,
        write: Write,
        executor: Executor,
        kept_bytes: int = KEPT_BYTES,
        write_bytes: int = WRITE_BYTES,
        gather_s: float = GATHER_S,
    ) -> None:
        self._read_from_store = read
        self._write_to_store = write
        self._executor = executor
        self._recent = RecentRows(kept_bytes)
        self._write_bytes = write_bytes
        self._gather_s = gather_s
        self._hurry = Event()
        self._lock = Lock()
        self._gathered: dict[int, _Latest] = {}  # the last job will take them, from its thread: with the lock
        self._failure: Exception | None = None
        self._last: Job | None = None
        self._last_of_old: Job | None = None

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The committed row of an account, or None."""
        row = self._recent.row(partition, key)
        return self._read_from_store(partition, key) if row is None else row

    def write(self, committed: Sequence[PartitionRows]) -> None:
        """From now on these are what is read. Waits for the store when it is far behind."""
        self._raise_failure()
        if self._recent.full:
            self._let_go_of_old()
        for partition, rows, _offset in committed:
            self._recent.put(partition, rows)
        self._gather(committed)

    def _gather(self, committed: Sequence[PartitionRows]) -> None:
        with self._lock:
            nobody_comes = not self._gathered
            for partition, rows, offset in committed:
                latest = self._gathered.setdefault(partition, _Latest({}, offset))
                latest.rows.update(rows)
                latest.offset = offset
        if nobody_comes and committed:
            self._last = self._executor.submit(self._write_gathered)

    def _write_gathered(self) -> None:
        """A row missing before an offset that was written would be missed for ever: after a failure nothing follows."""
        self._hurry.wait(self._gather_s)
        with self._lock:
            gathered, self._gathered = self._gathered, {}
        if self._failure is not None:
            return
        try:
            self._spread(gathered)
        except Exception as error:
            self._failure = error

    def _spread(self, gathered: Mapping[int, _Latest]) -> None:
        """Others go on between two writes, unless somebody waits for the last."""
        total = max(1, sum(latest.size for latest in gathered.values()))
        for partition, latest in gathered.items():
            for rows, size, offset in _portions(latest, self._write_bytes):
                self._write_to_store(partition, rows, offset)
                self._hurry.wait(self._gather_s * size / total)

    def _let_go_of_old(self) -> None:
        self._wait_for(self._last_of_old)
        self._raise_failure()
        self._recent.age()
        self._last_of_old = self._last

    def settle(self) -> None:
        """Wait until the store has everything."""
        self._wait_for(self._last)
        self._raise_failure()

    def _wait_for(self, job: Job | None) -> None:
        if job is not None:
            self._hurry.set()
            job.result()
            self._hurry.clear()

    def forget(self) -> None:
        """Partitions may leave: settle, and keep nothing, because others may write what this worker would not see."""
        self.settle()
        self._recent.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _portions(latest: _Latest, write_bytes: int) -> Iterator[tuple[list[tuple[bytes, bytes]], int, int | None]]:
    """(rows, bytes, offset) of a partition, some `write_bytes` at a time; the offset comes with the last ones."""
    portion: list[tuple[bytes, bytes]] = []
    size = 0
    for each in latest.rows.items():
        if size >= write_bytes:
            yield portion, size, None
            portion, size = [], 0
        portion.append(each)
        size += len(each[1])
    yield portion, size, latest.offset
