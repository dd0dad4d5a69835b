"""The local store behind the accounts table: one RocksDB per partition, written only after a Kafka commit.

Faust's own store holds up to 256 MB of write buffers and a 2 GiB cache for each partition, writes a row at a time,
and finds the partition of a key through the event being processed. This one keeps memory small, writes rows together,
the changelog offset with the last of those that it tells of, and is told the partition.

A restore from the start of a changelog goes past RocksDB's log, which would write every row a second time. After a
crash the store then is as it was some batches ago, rows and offset alike, and what is missing is read again. But rows
that are in the log must not follow rows that were in memory only, or a crash would leave a gap that no offset tells of:
the memory is flushed before the first of them.

The changelog has everything, so damaged files are no reason to stay down: a partition whose database cannot be opened
is begun anew, and when damage shows later, all are marked, so that they are begun anew at the next start.

A full disk is no damage. After a restart the rows that did not fit come from the changelog, and until there is space
the partitions are another worker's.

Whatever meets one or the other tells `on_failure`, which ends the worker in one line: an exception would have to find
its way out of Faust, from its fetcher for example, and has got lost there.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import rocksdict
from faust.stores import rocksdb
from faust.types import TP

from tables.source_offsets import FIRST_ACCOUNT

WRITE_BUFFER_BYTES: Final = 8 * 1024 * 1024
BLOCK_CACHE_BYTES: Final = 16 * 1024 * 1024
MAX_OPEN_FILES: Final = 256
BLOOM_BITS_PER_KEY: Final = 10
LEVELS: Final = 7
FILES_TO_MERGE: Final = 4
"""RocksDB's own: files of level 0 that are merged into the next level, and all that is there again with them."""
CALM: Final = {
    "level0_file_num_compaction_trigger": str(FILES_TO_MERGE),
    "max_bytes_for_level_base": str(FILES_TO_MERGE * WRITE_BUFFER_BYTES),
    "target_file_size_base": str(2 * WRITE_BUFFER_BYTES),
}
"""The level into which files of level 0 are merged holds as much as they do, and what is beyond goes on file by file.
With RocksDB's own 256 MB a merge would rewrite the whole partition, seconds of a core at a time (250,000 accounts)."""
RESTORING: Final = {
    "level0_file_num_compaction_trigger": "16",
    "max_bytes_for_level_base": str(256 * 1024 * 1024),
    "target_file_size_base": str(64 * 1024 * 1024),
}
"""A quarter of the merges, and still fewer files than the 20 from which RocksDB slows writes down; sizes are RocksDB's
own, so that rows go straight to the last level."""
MARK: Final = "DAMAGED"
"""A file of this name in a partition's folder: its rows are not to be read any more."""

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, a limit of the process: how the system says that there is no more space."""

log = logging.getLogger(__name__)


class StoreFailure(RuntimeError):
    """The worker cannot go on with its store. No record is to blame."""


class StoreDamaged(StoreFailure):
    """A partition's files are damaged: the worker has to end, and restores at its next start."""


class StoreFull(StoreFailure):
    """The disk of the store has no space left."""


def nobody(_failure: StoreFailure) -> None:
    """Is told, unless somebody else is: the failure is raised."""


def open_database(path: Path) -> rocksdict.Rdict:
    """A RocksDB of raw bytes with small, bounded memory (about 32 MB a partition)."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(MAX_OPEN_FILES)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_level_zero_file_num_compaction_trigger(FILES_TO_MERGE)
    options.set_max_bytes_for_level_base(int(CALM["max_bytes_for_level_base"]))
    options.set_target_file_size_base(int(CALM["target_file_size_base"]))
    options.set_keep_log_file_num(2)
    none, snappy = rocksdict.DBCompressionType.none(), rocksdict.DBCompressionType.snappy()
    options.set_compression_per_level([none] + [snappy] * (LEVELS - 1))  # files of level 0 are soon merged anyway
    blocks = rocksdict.BlockBasedOptions()
    blocks.set_block_cache(rocksdict.Cache(BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, block_based=False)
    options.set_block_based_table_factory(blocks)
    return rocksdict.Rdict(str(path), options=options)


def begin_merging() -> None:
    """Start RocksDB's threads, one that merges files and one that writes new ones, as it would itself with the first
    database: they run on the cores of the thread that calls this."""
    environment = rocksdict.Env()  # that of the process
    environment.set_low_priority_background_threads(1)
    environment.set_high_priority_background_threads(1)


class RowStore(rocksdb.Store):
    """Rows by account id, beside the changelog offset up to which they are complete."""

    on_failure: Callable[[StoreFailure], None] = staticmethod(nobody)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._unlogged: set[int] = set()  # partitions with rows that may be in memory only

    def _open_for_partition(self, partition: int) -> rocksdict.Rdict:
        self._unlogged.discard(partition)
        path: Path = self.partition_path(partition)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if (path / MARK).exists():
                return _begin_anew(path, "it was found to be damaged")
            return open_database(path)
        except Exception as error:
            self._note_full(error)
            if not _tells_of_damage(error):
                raise
            return _begin_anew(path, str(error))

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The committed row of an account, or None; raises StoreDamaged."""
        try:
            value: bytes | None = self._db_for_partition(partition).get(key)
        except Exception as error:
            self._note_damage(partition, error)
            raise
        return value

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset up to which a partition is complete; raises StoreDamaged."""
        offset = self.row(tp.partition, self.offset_key)
        return None if offset is None else int(offset)

    def write(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], offset: int | None, *, logged: bool = True
    ) -> None:
        """Apply changelog records up to `offset` in one atomic write; None deletes the row. Raises StoreDamaged.

        Without an offset they are some of those up to the next one, which a crash before it will bring again.

        Not `logged`, for many rows of a restore, it is quicker, and a crash may undo it and what was so written before.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, row in rows:
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        if offset is not None:
            batch.put(self.offset_key, b"%d" % offset)
        try:
            database = self._db_for_partition(partition)
            if logged:
                self._settle(partition, database)
                database.write(batch)
            else:
                self._hurry(partition, database)
                database.write(batch, _past_the_log())
        except Exception as error:
            self._note_full(error)
            self._note_damage(partition, error)
            raise

    def _hurry(self, partition: int, database: rocksdict.Rdict) -> None:
        if partition not in self._unlogged:
            database.set_options(RESTORING)
            self._unlogged.add(partition)

    def _settle(self, partition: int, database: rocksdict.Rdict) -> None:
        if partition in self._unlogged:
            database.flush()
            database.set_options(CALM)
            self._unlogged.discard(partition)

    def scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows of accounts in key order, starting behind `after` (b"" from the start); raises
        StoreDamaged."""
        try:
            return self._scan(partition, after, limit)
        except Exception as error:
            self._note_damage(partition, error)
            raise

    def _scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        rows: list[tuple[bytes, bytes]] = []
        at = self._db_for_partition(partition).iter()
        at.seek(after or FIRST_ACCOUNT)
        while at.valid() and len(rows) < limit:
            if at.key() not in (after, self.offset_key):
                rows.append((at.key(), at.value()))
            at.next()
        at.status()  # raises when it ended at a damaged block, which looks like the end otherwise
        return rows

    def _note_full(self, error: Exception) -> None:
        """Tell `on_failure` and raise StoreFull, if a full disk is what the error tells of."""
        if any(os.strerror(code) in str(error) for code in FULL):
            self._fail(StoreFull, f"no space left for the local store in {self.path}", error)

    def _note_damage(self, partition: int, error: Exception) -> None:
        """Leave marks for the next start, tell `on_failure` and raise StoreDamaged, if damage is what the error tells
        of. All partitions in hand are marked: they are on the same disk, and finding them one by one would take a start
        each."""
        if _tells_of_damage(error):
            for each in {partition, *self._dbs}:
                (self.partition_path(each) / MARK).touch()
            self._fail(StoreDamaged, f"the store of partition {partition} is damaged: {error}", error)

    def _fail(self, kind: type[StoreFailure], what: str, error: Exception) -> NoReturn:
        """The exception is kept nowhere: it would keep the database open by way of the frames in its trace."""
        self.on_failure(kind(what))
        raise kind(what) from error

    def apply_changelog_batch(self, batch: Iterable[Any], *_decoders: Any, **_named: Any) -> None:
        """Faust's own path (standby partitions): the same single write per partition."""
        rows: dict[TP, list[tuple[bytes, bytes | None]]] = {}
        offsets: dict[TP, int] = {}
        for event in batch:
            message = event.message
            rows.setdefault(message.tp, []).append((message.key, message.value))
            offsets[message.tp] = max(message.offset, offsets.get(message.tp, -1))
        for tp, offset in offsets.items():
            self.write(tp.partition, rows[tp], offset)


def _past_the_log() -> rocksdict.WriteOptions:
    options = rocksdict.WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign, assignment]  # the stub lacks that it is a property
    return options


def _tells_of_damage(error: Exception) -> bool:
    """RocksDB's errors are plain exceptions that begin with the name of their status. A lock, or a disk that is full,
    is no damage."""
    return str(error).startswith("Corruption")


def _begin_anew(path: Path, why: str) -> rocksdict.Rdict:
    log.warning("the store in %s is begun anew and restored from the changelog: %s", path.name, why)
    shutil.rmtree(path)
    return open_database(path)
