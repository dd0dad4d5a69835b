"""Rows on their way to the store against what they should be: the latest committed ones, whatever the disk does.

`disk` is the store as a process that dies leaves it. A restore from its offset must give the whole table, at every
moment, between two writes of one job as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tables.behind import PartitionRows, WriteBehind
from tests.support.jobs import Jobs

PARTITIONS = range(2)
KEYS = [b"account-%d" % number for number in range(4)]

SOME_ROWS = st.dictionaries(st.sampled_from(KEYS), st.binary(min_size=1, max_size=300), min_size=1)

Rows = dict[bytes, bytes]


class DiskFull(Exception):
    pass


class Disk:
    """A store whose next write may fail. `look` is called after each."""

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self.look = look
        self.rows: dict[int, Rows] = {partition: {} for partition in PARTITIONS}
        self.offsets = dict.fromkeys(PARTITIONS, -1)
        self.full = False

    def row(self, partition: int, key: bytes) -> bytes | None:
        return self.rows[partition].get(key)

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes]], offset: int | None) -> None:
        if self.full:
            self.full = False  # only this once: whoever went on would leave a gap
            raise DiskFull
        self.rows[partition].update(rows)
        if offset is not None:
            self.offsets[partition] = offset
        self.look()


class Worker(RuleBasedStateMachine):
    """Writes, and reads what it wrote."""

    @initialize(kept=st.sampled_from([0, 3000, 1_000_000]), at_once=st.sampled_from([1, 300, 16_384]))
    def start(self, kept: int, at_once: int) -> None:
        self.disk, self.thread = Disk(self.what_a_dead_process_leaves_can_be_restored), Jobs()
        self.behind = WriteBehind(self.disk.row, self.disk.write, self.thread, kept, at_once, gather_s=0)
        self.changelog: dict[int, list[tuple[bytes, bytes]]] = {partition: [] for partition in PARTITIONS}
        self.ended = False

    def table(self, partition: int, up_to: int) -> Rows:
        return dict(self.changelog[partition][: up_to + 1])

    @precondition(lambda self: not self.ended)
    @rule(changes=st.dictionaries(st.sampled_from(PARTITIONS), SOME_ROWS, min_size=1))
    def commit(self, changes: dict[int, Rows]) -> None:
        committed = []
        for partition, rows in changes.items():
            self.changelog[partition] += rows.items()
            committed.append(PartitionRows(partition, list(rows.items()), len(self.changelog[partition]) - 1))
        self._try(lambda: self.behind.write(committed))

    @precondition(lambda self: bool(self.thread.jobs))
    @rule()
    def let_the_disk_work(self) -> None:
        self.thread.run_one()

    @precondition(lambda self: not self.ended)
    @rule()
    def forget(self) -> None:
        if self._try(self.behind.forget):
            assert self.disk.offsets == {partition: len(log) - 1 for partition, log in self.changelog.items()}

    @rule()
    def fill_the_disk(self) -> None:
        self.disk.full = True

    def _try(self, do: Callable[[], None]) -> bool:
        """A worker ends when it hears of a failure."""
        try:
            do()
        except DiskFull:
            self.ended = True
        return not self.ended

    @invariant()
    def what_was_committed_is_read(self) -> None:
        if not self.ended:
            for partition, log in self.changelog.items():
                table = self.table(partition, len(log))
                assert {key: self.behind.row(partition, key) for key in KEYS} == {key: table.get(key) for key in KEYS}

    @invariant()
    def what_a_dead_process_leaves_can_be_restored(self) -> None:
        for partition, offset in self.disk.offsets.items():
            log = self.changelog[partition]
            assert self.disk.rows[partition] | dict(log[offset + 1 :]) == dict(log)
            for key, row in self.table(partition, offset).items():
                later = [value for name, value in log[offset + 1 :] if name == key]
                assert self.disk.rows[partition][key] in [row, *later], "a row is older than the offset says"


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_memory_is_bounded() -> None:
    disk, thread = Disk(), Jobs()
    behind = WriteBehind(disk.row, disk.write, thread, kept_bytes=100_000, gather_s=0)
    for number in range(1000):
        behind.write([PartitionRows(0, [(b"%d" % number, bytes(1000))], number)])
    kept = [number for number in range(1000) if behind._recent.row(0, b"%d" % number) is not None]
    assert 40 <= len(kept) <= 100
    assert len(thread.jobs) <= 100, "rows on their way are in memory as well"


def test_an_account_that_is_used_again_and_again_is_written_once() -> None:
    disk, thread = Disk(), Jobs()
    behind = WriteBehind(disk.row, disk.write, thread, kept_bytes=100_000, gather_s=0)
    for number in range(1000):
        behind.write([PartitionRows(0, [(b"%d" % (number % 10), bytes(1000))], number)])
    assert len(thread.jobs) == 1
    behind.settle()
    assert disk.offsets[0] == 999


def test_a_failure_is_told_by_whatever_comes_next() -> None:
    disk, thread = Disk(), Jobs()
    behind = WriteBehind(disk.row, disk.write, thread, gather_s=0)
    disk.full = True
    behind.write([PartitionRows(0, [(b"a", b"1")], 0)])
    thread.run_one()
    for next_call in (lambda: behind.write([]), behind.settle, behind.forget):
        with pytest.raises(DiskFull):
            next_call()


def test_nothing_is_written_after_a_write_that_failed() -> None:
    disk, thread = Disk(), Jobs()
    behind = WriteBehind(disk.row, disk.write, thread, gather_s=0)
    disk.full = True
    behind.write([PartitionRows(0, [(b"a", b"1")], 0), PartitionRows(1, [(b"b", b"1")], 0)])
    behind.write([PartitionRows(0, [(b"c", b"1")], 1)])
    with pytest.raises(DiskFull):
        behind.settle()
    assert disk.rows == {0: {}, 1: {}}
    assert disk.offsets == {0: -1, 1: -1}


def test_a_few_rows_are_written_at_a_time_and_the_offset_with_the_last_of_them() -> None:
    written: list[tuple[int, list[bytes], int | None]] = []
    thread = Jobs()
    behind = WriteBehind(
        lambda _partition, _key: None,
        lambda partition, rows, offset: written.append((partition, [key for key, _row in rows], offset)),
        thread,
        write_bytes=200,
        gather_s=0,
    )
    rows = [(b"%d" % number, bytes(100)) for number in range(5)]
    behind.write([PartitionRows(0, rows, 4), PartitionRows(1, rows[:1], 0)])
    behind.write([PartitionRows(0, rows[:1], 5)])
    thread.run_one()
    assert written == [(0, [b"0", b"1"], None), (0, [b"2", b"3"], None), (0, [b"4"], 5), (1, [b"0"], 0)]
