"""The worker's local store is damaged while the worker is down. The changelog has everything that was in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, until
from tests.chaos.campaign.world import FIRST_WORKER, World

LOG_S: Final = 5.0
"""A worker that decides writes its rows twice a second."""
BLOCK_BYTES: Final = 4096
"""About the size of RocksDB's blocks, each with a checksum of its own."""


def _found(world: World, wanted: Callable[[Path], bool]) -> list[Path]:
    """Files with something in them in the databases of the first worker, in the order of their paths."""
    found = []
    for path in (world.home / "tables").rglob("*"):
        with suppress(FileNotFoundError):  # a worker that runs deletes some
            if FIRST_WORKER in path.parts and wanted(path) and path.is_file() and path.stat().st_size:
                found.append(path)
    return sorted(found)


def _files(world: World, wanted: Callable[[Path], bool]) -> list[Path]:
    """The same. Raises AssertionError when there are none: then there would be nothing to damage."""
    found = _found(world, wanted)
    assert found, "no such file in the local store"
    return found


def _is_log(path: Path) -> bool:
    return path.suffix == ".log"


def _is_table(path: Path) -> bool:
    return path.suffix == ".sst"


def _is_needed(path: Path) -> bool:
    """What RocksDB cannot do without: its tables, its logs, and what says which of them count."""
    return _is_log(path) or _is_table(path) or path.name.startswith(("MANIFEST", "CURRENT"))


class _Damaged:
    """SIGKILL, damage, start. `damage` says what it did."""

    name = "store"
    what = ""
    proof: Proof = "decisions"
    lasts_s = 9.0
    tables_first = False  # rows are in tables on disk only after a start: it writes down what the logs had
    log_first = False  # for a moment after that there may be nothing in the logs

    def strike(self, world: World, random: Random) -> Damage:
        if self.tables_first:
            world.kill(world.workers[FIRST_WORKER])
            world.start_worker().wait_ready()
            world.wait(1 + random.random())
        if self.log_first:
            until(world, LOG_S, lambda: bool(_found(world, _is_log)), "there is nothing in the logs")
        at = time.time()
        since = world.kill(world.workers[FIRST_WORKER])
        note = self.damage(world, random)
        world.start_worker()
        return Damage(at, since, note=note)

    def damage(self, world: World, random: Random, /) -> str:
        raise NotImplementedError


class Deleted(_Damaged):
    name = "store-deleted"
    what = "the worker is killed and its local store deleted; it starts from the changelog"

    def damage(self, world: World, _random: Random, /) -> str:
        deleted = _files(world, _is_needed)
        shutil.rmtree(world.home)
        return f"{len(deleted)} files"


class LogTruncated(_Damaged):
    name = "store-log-truncated"
    what = "the worker is killed and RocksDB's write-ahead logs lose their end, as after a power failure"
    log_first = True

    def damage(self, world: World, random: Random, /) -> str:
        return ", ".join(_truncate(path, random) for path in _files(world, _is_log))


class Truncated(_Damaged):
    name = "store-truncated"
    what = "the worker is killed and one file of its local store loses its end"

    def damage(self, world: World, random: Random, /) -> str:
        return _truncate(random.choice(_files(world, _is_needed)), random)


class LogCorrupted(_Damaged):
    name = "store-log-corrupted"
    what = "the worker is killed and one bit is turned in each of RocksDB's write-ahead logs"
    log_first = True

    def damage(self, world: World, random: Random, /) -> str:
        return ", ".join(_turn_bits(path, random, 1) for path in _files(world, _is_log))


class Corrupted(_Damaged):
    name = "store-corrupted"
    what = "the worker is killed and bits are turned in the rows of its tables on disk; RocksDB notices on reading them"
    lasts_s = 16.0
    tables_first = True

    def damage(self, world: World, random: Random, /) -> str:
        tables = _files(world, _is_table)
        return ", ".join(_turn_bits(path, random, 1 + path.stat().st_size // (4 * BLOCK_BYTES), 0.5) for path in tables)


class IndexCorrupted(_Damaged):
    name = "store-index-corrupted"
    what = "the worker is killed and bits are turned at the end of its tables on disk; RocksDB notices on opening them"
    lasts_s = 16.0
    tables_first = True

    def damage(self, world: World, random: Random, /) -> str:
        return ", ".join(_turn_bits(path, random, 4, 0.5, behind=True) for path in _files(world, _is_table))


class RolledBack:
    """A backup of the store is put back: it is whole, but old."""

    name = "store-rolled-back"
    what = "the worker is killed and its local store replaced by a copy of some seconds before"
    proof: Proof = "decisions"
    lasts_s = 20.0

    def strike(self, world: World, random: Random) -> Damage:
        backup = world.home.with_name("backup")
        world.kill(world.workers[FIRST_WORKER])
        shutil.copytree(world.home, backup)
        world.start_worker().wait_ready()
        world.wait(2 + 2 * random.random())
        at = time.time()
        since = world.kill(world.workers[FIRST_WORKER])
        shutil.rmtree(world.home)
        backup.rename(world.home)
        world.start_worker()
        return Damage(at, since)


def _truncate(path: Path, random: Random) -> str:
    size = path.stat().st_size
    left = random.randrange(size)
    os.truncate(path, left)
    return f"{path.parent.name}/{path.name} from {size} to {left} bytes"


def _turn_bits(path: Path, random: Random, count: int, share: float = 1.0, *, behind: bool = False) -> str:
    """Turn `count` bits in the first `share` of a file, or behind it. A table has its rows first, its index last."""
    content = bytearray(path.read_bytes())
    border = max(1, int(len(content) * share))
    for _ in range(count):
        place = random.randrange(border, len(content)) if behind else random.randrange(border)
        content[place] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    return f"{path.parent.name}/{path.name} {count} of {len(content)} bytes"


FAULTS: Final[list[Fault]] = [
    Deleted(), LogTruncated(), Truncated(), LogCorrupted(), Corrupted(), IndexCorrupted(), RolledBack(),
]  # fmt: skip
