"""The worker's local store is damaged while the worker is down. The changelog has everything that was in it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof
from tests.chaos.campaign.world import FIRST_WORKER, World


def store_files(world: World) -> list[Path]:
    """The files of RocksDB in every partition's database of the worker, largest last."""
    found = [path for path in (world.home / "tables").rglob("*") if path.is_file() and FIRST_WORKER in path.parts]
    kept = [path for path in found if path.suffix in {".log", ".sst"} or path.name.startswith(("MANIFEST", "CURRENT"))]
    return sorted(kept, key=lambda path: path.stat().st_size)


class _Damaged:
    """SIGKILL, damage, start."""

    name = "store"
    what = ""
    proof: Proof = "decisions"
    lasts_s = 9.0

    def strike(self, world: World, random: Random) -> Damage:
        at = time.time()
        since = world.kill(world.workers[FIRST_WORKER])
        self.damage(world, random)
        world.start_worker()
        return Damage(at, since)

    def damage(self, world: World, random: Random, /) -> None:
        raise NotImplementedError


class Deleted(_Damaged):
    name = "store-deleted"
    what = "the worker is killed and its local store deleted; it starts from the changelog"

    def damage(self, world: World, _random: Random, /) -> None:
        shutil.rmtree(world.home)


class LogTruncated(_Damaged):
    name = "store-log-truncated"
    what = "the worker is killed and RocksDB's write-ahead logs lose their end, as after a power failure"

    def damage(self, world: World, random: Random, /) -> None:
        for path in store_files(world):
            if path.suffix == ".log":
                os.truncate(path, int(path.stat().st_size * random.random()))


class Truncated(_Damaged):
    name = "store-truncated"
    what = "the worker is killed and one file of its local store loses its end"

    def damage(self, world: World, random: Random, /) -> None:
        path = random.choice([path for path in store_files(world) if path.stat().st_size])
        os.truncate(path, int(path.stat().st_size * random.random()))


class Corrupted(_Damaged):
    name = "store-corrupted"
    what = "the worker is killed and bits are turned in the largest files of its local store"

    def damage(self, world: World, random: Random, /) -> None:
        for path in store_files(world)[-4:]:
            content = bytearray(path.read_bytes())
            for _ in range(max(1, len(content) // 50_000)):
                if content:
                    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(content)


FAULTS: Final[list[Fault]] = [Deleted(), LogTruncated(), Truncated(), Corrupted()]
