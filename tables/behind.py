"""Committed rows on their way to the local store: to be read at once, written by a thread of their own.

Written in turn with deciding, they would hold up what comes next, and a disk that is slow for a moment would be seen in
everybody's latency. Nothing is lost by it: the changelog has every row, and a worker that dies before its rows are
written restores them from there, because an offset is written with the last of the rows before it, never earlier, and
nothing is written any more after a write that failed. Rows may be newer than the offset says: they come again.

They are gathered for `GATHER_S` before they are written. A write to each partition after each of a hundred commits a
second costs more than the rows in it, and a row that changes again meanwhile need not be written twice. Then they go a
few at a time, spread over as long again: rocksdict keeps Python's lock (the GIL) while RocksDB writes, and a thread
that writes half a second of rows at once keeps everything else from going on for some 30 ms.

Rows stay in memory after they were written, the latest `KEPT_BYTES` of them, because a card that was just used is used
again, and reading a row from a dictionary costs a twentieth of reading it from RocksDB. They are in two generations:
when the young one is full, the old one goes, some rows with every write, because freeing 32 MB of rows takes 40 ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final, NamedTuple, Protocol

GATHER_S: Final = 0.5
WRITE_BYTES: Final = 16 * 1024
"""Of rows, written at once: 0.1 to 0.4 ms."""
KEPT_BYTES: Final = 64 * 1024 * 1024
ROW_OVERHEAD_BYTES: Final = 200
"""What Python needs for a row besides its content: two objects and a place in a dictionary."""
FREED_FOR_ONE: Final = 2
"""Rows that leave the memory for one that comes: all of a generation have left before the next is full."""


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
    """What is gathered of a partition. Not more than is kept in memory: each row is in one of the generations."""

    rows: dict[bytes, bytes]
    offset: int


_Portion = tuple[int, Sequence[tuple[bytes, bytes]], int | None]
"""Of a partition's rows, as `Write` takes it."""


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
        self._generation_bytes = kept_bytes // 2
        self._write_bytes = write_bytes
        self._gather_s = gather_s
        self._hurry = Event()
        self._lock = Lock()
        self._gathered: dict[int, _Latest] = {}  # the last job will take them, from its thread: with the lock
        self._failure: Exception | None = None
        self._last: Job | None = None
        self._clear()

    def _clear(self) -> None:
        self._young: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._old: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._leaving: list[dict[bytes, bytes]] = []
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
            self._keep(self._young[partition], rows)
            self._free(FREED_FOR_ONE * len(rows))
        self._gather(committed)

    def _keep(self, young: dict[bytes, bytes], rows: Sequence[tuple[bytes, bytes]]) -> None:
        there = len(young)
        replaced = sum([len(young.get(key, b"")) for key, _row in rows])
        young.update(rows)
        self._young_bytes += sum([len(row) for _key, row in rows]) - replaced
        self._young_bytes += (len(young) - there) * ROW_OVERHEAD_BYTES

    def _free(self, most: int) -> None:
        while most > 0 and self._leaving:
            rows = self._leaving[-1]
            for _ in range(min(most, len(rows))):
                rows.popitem()
                most -= 1
            if not rows:
                self._leaving.pop()

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
            self._spread(_portions(gathered, self._write_bytes))
        except Exception as error:
            self._failure = error

    def _spread(self, portions: Sequence[_Portion]) -> None:
        """Others go on between them, unless somebody waits for the last."""
        for written, portion in enumerate(portions):
            if written:
                self._hurry.wait(self._gather_s / len(portions))
            self._write_to_store(*portion)

    def _let_go_of_old(self) -> None:
        self._wait_for(self._last_of_old)
        self._raise_failure()
        self._leaving += self._old.values()
        self._old, self._young, self._young_bytes = self._young, defaultdict(dict), 0
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
        self._clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _portions(gathered: Mapping[int, _Latest], write_bytes: int) -> list[_Portion]:
    """Some `write_bytes` at a time; the offset comes with the last ones of its partition."""
    found: list[_Portion] = []
    for partition, latest in gathered.items():
        portion: list[tuple[bytes, bytes]] = []
        size = 0
        for each in latest.rows.items():
            if size >= write_bytes:
                found.append((partition, portion, None))
                portion, size = [], 0
            portion.append(each)
            size += len(each[1])
        found.append((partition, portion, latest.offset))
    return found
