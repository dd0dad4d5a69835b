"""The local store and its damaged files: never believed, never blamed on a record, always begun anew."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import faust
import orjson
import pytest
from faust.types import TP

from agents.engine import Engine
from models.authorization import Policy
from tables import accounts
from tables.accounts import AccountsTable
from tables.behind import PartitionRows
from tables.source_offsets import SourceOffsets
from tables.store import MARK, RowStore, StoreDamaged, StoreFull
from tables.sweep import RoundRobin
from tests.support import messages as say
from tests.support.engine import Bench

ROWS = 5000
CHANGELOG = TP("changelog", 1)


def declared(folder: Path) -> AccountsTable:
    """A table as a worker that starts on `folder` has it."""
    app = faust.App("store-test", broker="kafka://127.0.0.1:1", store="rocksdb://", datadir=str(folder))
    return accounts.declare(app, 4)


def opened(folder: Path) -> RowStore:
    return declared(folder).rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the files of a store that has ROWS rows in partition 1 and was closed."""
    store = opened(tmp_path)
    store.write(1, [(b"key-%d" % number, os.urandom(200)) for number in range(ROWS)], offset=77)
    store._dbs[1].flush()
    close(store)
    return tmp_path


def close(store: RowStore) -> None:
    for database in store._dbs.values():
        database.close()


def table_file(folder: Path) -> Path:
    (found,) = folder.rglob("*.sst")
    return found


def turn_bits(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[1000:300_000] = bytes(byte ^ 255 for byte in content[1000:300_000])
    file.write_bytes(content)


def read_all(store: RowStore) -> int:
    return sum(store.row(1, b"key-%d" % number) is not None for number in range(ROWS))


def test_rows_and_offset_are_there_after_a_restart(folder: Path) -> None:
    store = opened(folder)
    assert store.persisted_offset(CHANGELOG) == 77
    assert read_all(store) == ROWS


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:500]),
        lambda file: file.unlink(),
        lambda file: (file.parent / "CURRENT").write_text("nonsense"),
    ],
    ids=["truncated", "missing", "index"],
)
def test_a_store_that_cannot_be_opened_is_begun_anew(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(table_file(folder))
    store = opened(folder)
    assert store.persisted_offset(CHANGELOG) is None
    assert read_all(store) == 0


def _scan_all(store: RowStore) -> object:
    return store.scan(1, b"", ROWS)


@pytest.mark.parametrize("use", [read_all, _scan_all], ids=["row", "scan"])
def test_damage_found_while_reading_is_named_and_ends_at_the_next_start(
    folder: Path, use: Callable[[RowStore], object]
) -> None:
    turn_bits(table_file(folder))
    store = opened(folder)
    store.write(2, [(b"key-2", b"row")], offset=9)
    with pytest.raises(StoreDamaged, match="the store of partition 1 is damaged: Corruption: "):
        use(store)
    close(store)
    again = opened(folder)
    assert again.persisted_offset(CHANGELOG) is None
    assert again.persisted_offset(TP("changelog", 2)) is None, "the others are on the same disk"
    again.write(1, [(b"key-1", b"row")], offset=5)
    close(again)
    assert not list(folder.rglob(MARK))
    assert opened(folder).row(1, b"key-1") == b"row"


def test_a_store_that_somebody_else_has_open_is_left_alone(folder: Path) -> None:
    first = opened(folder)
    assert read_all(first) == ROWS
    with pytest.raises(Exception, match="lock"):
        opened(folder).row(1, b"key-1")
    assert read_all(first) == ROWS


def test_a_damaged_store_is_not_blamed_on_the_record() -> None:
    """Its message would be in the dead letters, its offset committed, and its answer never given."""

    def row(_partition: int, _key: bytes) -> bytes:
        raise StoreDamaged("the store of partition 0 is damaged: Corruption: block checksum mismatch")

    bench = Bench()
    bench.engine = Engine(row, None, Policy(), 300_000, RoundRobin(lambda *_: []), 1)
    with pytest.raises(StoreDamaged):
        bench.run(say.request())


BATCHES, BATCH = 40, 1000
"""Of rows of 400 bytes: about as much as two of RocksDB's buffers."""


def restored(store: RowStore, batches: range, *, logged: bool) -> None:
    for number in batches:
        rows = [(b"%d-%d" % (number, each), os.urandom(400)) for each in range(BATCH)]
        store.write(1, rows, offset=number, logged=logged)


def _restored_and_killed(folder: Path, steps: list[tuple[range, bool]]) -> None:
    store = opened(folder)
    for batches, logged in steps:
        restored(store, batches, logged=logged)
    os.kill(os.getpid(), signal.SIGKILL)


def after_a_crash(folder: Path, steps: list[tuple[range, bool]]) -> RowStore:
    """The store of a process that was killed after these steps of a restore: (batches, whether they were logged)."""
    process = get_context("spawn").Process(target=_restored_and_killed, args=(folder, steps))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return opened(folder)


def batches_in(store: RowStore) -> int:
    """The batches up to the store's offset; all of them are there, and nothing of a later one is."""
    offset = store.persisted_offset(CHANGELOG)
    count = 0 if offset is None else offset + 1
    for number in range(BATCHES):
        there = sum(store.row(1, b"%d-%d" % (number, each)) is not None for each in range(BATCH))
        assert there == (BATCH if number < count else 0), f"batch {number} of {count}"
    return count


def test_a_crash_of_a_restore_leaves_rows_and_offset_of_some_batch(tmp_path: Path) -> None:
    found = after_a_crash(tmp_path, [(range(BATCHES), False)])
    assert 0 < batches_in(found) < BATCHES, "the last were in memory, which is why it is quick"
    restored(found, range(batches_in(found), BATCHES), logged=True)
    assert batches_in(found) == BATCHES


def test_what_is_logged_never_survives_what_was_restored_before_it(tmp_path: Path) -> None:
    """Else the offset would speak of rows that are gone, and nobody would read them again."""
    steps = [(range(5), False), (range(5, 6), True), (range(6, 7), False), (range(7, 8), True)]
    assert batches_in(after_a_crash(tmp_path, steps)) == 8


def test_a_restore_merges_less_and_calms_down_afterwards(tmp_path: Path) -> None:
    store = opened(tmp_path)

    def files() -> int:
        return int(store._dbs[1].property_value("rocksdb.num-files-at-level0") or 0)

    for each in range(12):
        store.write(1, [(b"key", b"%d" % each)], offset=each, logged=False)
        store._dbs[1].flush()
    assert files() == 12
    store.write(1, [(b"key", b"last")], offset=12)
    deadline = time.monotonic() + 30
    while files() > 1:
        assert time.monotonic() < deadline, f"{files()} files, and nothing merges them"
        time.sleep(0.01)
    assert store.row(1, b"key") == b"last"


def wait_merged(store: RowStore) -> None:
    """Until the store has nothing to merge."""
    database, deadline = store._dbs[1], time.monotonic() + 60
    while any(
        database.property_value(f"rocksdb.{each}") != "0" for each in ("compaction-pending", "num-running-compactions")
    ):
        assert time.monotonic() < deadline, "it merges for ever"
        time.sleep(0.05)


def merged_bytes(folder: Path) -> list[int]:
    """What each merge so far has written, as RocksDB's own log says."""
    (log,) = folder.rglob("LOG")
    told = [
        orjson.loads(line.split("EVENT_LOG_v1", 1)[1]) for line in log.read_text().splitlines() if "EVENT_LOG" in line
    ]
    return [event["total_output_size"] for event in told if event["event"] == "compaction_finished"]


def test_a_merge_rewrites_no_more_than_a_part_of_a_large_partition(tmp_path: Path) -> None:
    """With RocksDB's own sizes each rewrites all of it: for seconds decisions would wait for a core."""
    store, rows = opened(tmp_path), 150_000
    keys = [b"key-%d" % number for number in range(rows)]
    for offset in range(0, rows, 5000):
        store.write(1, [(key, os.urandom(1000)) for key in keys[offset : offset + 5000]], offset, logged=False)
    store.write(1, [(keys[0], b"restored")], rows)
    wait_merged(store)
    of_restore = len(merged_bytes(tmp_path))
    chosen = random.Random(1)
    for offset in range(rows, rows + 45):
        store.write(1, [(key, os.urandom(1000)) for key in chosen.sample(keys, 1000)], offset)
    store._dbs[1].flush()
    wait_merged(store)
    merges = merged_bytes(tmp_path)[of_restore:]
    assert 0 < max(merges) < rows * 1000 / 2


def test_a_full_disk_is_no_damage_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """The system's own refusal, by way of RocksDB: no file may grow beyond a limit, as on a full disk."""
    store = opened(tmp_path)
    store.write(1, [(b"first", b"row")], offset=1)
    with no_file_beyond(64 * 1024), pytest.raises(StoreFull, match="no space left for the local store in "):
        store.write(1, [(b"key-%d" % number, os.urandom(200)) for number in range(ROWS)], offset=2)
    with suppress(Exception):
        close(store)  # it complains again
    store = opened(tmp_path)
    assert (store.row(1, b"first"), store.row(1, b"key-0"), store.persisted_offset(CHANGELOG)) == (b"row", None, 1)
    store.write(1, [(b"key-0", b"row")], offset=2)
    close(store)


def test_a_full_disk_is_told_when_a_restore_ends(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(1, [(b"key-%d" % number, os.urandom(200)) for number in range(ROWS)], offset=2, logged=False)
    with no_file_beyond(64 * 1024), pytest.raises(StoreFull):
        store.write(1, [], offset=3)
    with suppress(Exception):
        close(store)
    assert opened(tmp_path).persisted_offset(CHANGELOG) is None


def test_a_full_disk_at_the_start_is_told_as_well(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with no_file_beyond(16), pytest.raises(StoreFull):
        store.write(1, [], offset=1)


def test_a_scan_is_of_accounts_alone(tmp_path: Path) -> None:
    store, sources = opened(tmp_path), SourceOffsets({}, lambda _partition, _key: None)
    (own,) = sources.rows({TP("payments", 1): 9}).values()
    store.write(1, [*own, (b"acct-1", b"row"), (b"acct-2", b"row")], offset=5)
    assert [key for key, _row in store.scan(1, b"", 9)] == [b"acct-1", b"acct-2"]
    assert [key for key, _row in store.scan(1, b"", 1)] == [b"acct-1"]
    assert [key for key, _row in store.scan(1, b"acct-1", 9)] == [b"acct-2"]


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writing behind `size` bytes of any file fails, for this process and as long as the block lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_slice_in_work_is_written_when_the_table_has_stopped(tmp_path: Path) -> None:
    table = declared(tmp_path)
    table.write([PartitionRows(1, [(b"key-1", b"row")], 5)])
    await table.on_stop()
    await table.rows.stop()
    table.write([PartitionRows(1, [(b"key-2", b"row")], 6)])
    await table.on_stop()
    assert table.rows.persisted_offset(CHANGELOG) == 6
    assert [key for key, _row in table.rows.scan(1, b"", 9)] == [b"key-1", b"key-2"]


async def test_rows_are_in_the_store_before_partitions_come_and_go(tmp_path: Path) -> None:
    table = declared(tmp_path)
    table.write([PartitionRows(1, [(b"key-1", b"old")], 5)])
    await table.on_rebalance(set(), set(), set())
    assert table.rows.persisted_offset(CHANGELOG) == 5
    table.rows.write(1, [(b"key-1", b"restored")], 7)
    assert table.row(1, b"key-1") == b"restored"
