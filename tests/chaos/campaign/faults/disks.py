"""A disk runs full, and has space again after some seconds. It is a real one, if we may mount it (`campaign.disk`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from deploy.embedded.postgres import Postgres
from tests.chaos.campaign.disk import Disk
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held
from tests.chaos.campaign.faults.servers import start_again
from tests.chaos.campaign.world import World

FULL_S: Final = (4.0, 12.0)


@dataclass(frozen=True)
class DiskFull:
    """`says`: what must stand, in one line, in the log of the process that met it; else the fault raises."""

    name: str
    what: str
    proof: Proof
    lasts_s: float
    disk: Callable[[World], Disk]
    says: str
    log: Callable[[World], str]

    def strike(self, world: World, random: Random) -> Damage:
        before, at = self.log(world).count(self.says), time.time()
        disk = self.disk(world)
        disk.fill()
        try:
            held_s = held(world, random.uniform(*FULL_S))
            said = self.log(world).count(self.says) - before
        finally:
            since = time.time()
            disk.empty()
        assert said, f"nobody said {self.says!r}"
        _start_what_ended(world.postgres)
        return Damage(at, since, held_s, f"said so {said} times")


def _start_what_ended(server: Postgres) -> None:
    """PostgreSQL ends itself when it cannot write its log; a service manager would start it."""
    assert server.process is not None
    if server.process.poll() is not None:
        start_again(server)


def _logs(world: World, pattern: str) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(world.folder.glob(pattern)))


FAULTS: Final[list[Fault]] = [
    DiskFull(
        "store-disk-full",
        "the disk of the worker's local store has no space for 4 to 12 s; the worker ends and is started again",
        "decisions", 22.0, lambda world: world.store_disk,
        "worker ends: no space left for the local store", lambda world: _logs(world, "*-worker-*.log"),
    ),
    DiskFull(
        "postgres-disk-full",
        "PostgreSQL's disk has no space for 4 to 12 s; it is started again if it has ended",
        "postings", 18.0, lambda world: world.ledger_disk,
        "No space left on device HINT: Check free disk space.: trying again",
        lambda world: _logs(world, "*-sink.log"),
    ),
]  # fmt: skip
