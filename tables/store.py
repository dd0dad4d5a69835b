"""The local store behind the accounts table: one RocksDB per partition, written only after a Kafka commit.

Faust's own store holds up to 256 MB of write buffers and a 2 GiB cache for each partition, applies a batch and its
changelog offset in two writes (a crash between them replays rows), and finds the partition of a key through the
event being processed. This one keeps memory small, writes rows and offset together, and is told the partition.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import rocksdict
from faust.stores import rocksdb
from faust.types import TP

WRITE_BUFFER_BYTES: Final = 8 * 1024 * 1024
BLOCK_CACHE_BYTES: Final = 16 * 1024 * 1024
MAX_OPEN_FILES: Final = 256
BLOOM_BITS_PER_KEY: Final = 10


def open_database(path: Path) -> rocksdict.Rdict:
    """A RocksDB of raw bytes with small, bounded memory (about 32 MB a partition)."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(MAX_OPEN_FILES)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    blocks = rocksdict.BlockBasedOptions()
    blocks.set_block_cache(rocksdict.Cache(BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, block_based=False)
    options.set_block_based_table_factory(blocks)
    return rocksdict.Rdict(str(path), options=options)


class RowStore(rocksdb.Store):
    """Rows by account id, beside the changelog offset up to which they are complete."""

    def _open_for_partition(self, partition: int) -> rocksdict.Rdict:
        path: Path = self.partition_path(partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_database(path)

    def row(self, partition: int, key: bytes) -> bytes | None:
        """The committed row of an account, or None."""
        value: bytes | None = self._db_for_partition(partition).get(key)
        return value

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
        """Apply changelog records up to `offset` in one atomic write; None deletes the row."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, row in rows:
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        batch.put(self.offset_key, b"%d" % offset)
        self._db_for_partition(partition).write(batch)

    def scan(self, partition: int, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows in key order, starting behind `after` (b"" from the start)."""
        rows: list[tuple[bytes, bytes]] = []
        items = self._db_for_partition(partition).items(from_key=after or None)
        for key, row in items:
            if key in (after, self.offset_key):
                continue
            rows.append((key, row))
            if len(rows) == limit:
                break
        return rows

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
