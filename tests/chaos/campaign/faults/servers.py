"""The broker, PostgreSQL and the sink are paused, killed and started again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from deploy.embedded.errors import StartError
from deploy.embedded.kafka import Broker
from deploy.embedded.postgres import Postgres
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, outage
from tests.chaos.campaign.world import World

STARTS: Final = 10
PAUSES_S: Final = (2.0, 12.0)


Server = Broker | Postgres


@dataclass(frozen=True)
class Paused:
    """SIGSTOP and SIGCONT of every process of a server."""

    name: str
    what: str
    proof: Proof
    lasts_s: float
    server: Callable[[World], Server]

    def strike(self, world: World, random: Random) -> Damage:
        return paused(world, self.server(world), random.uniform(*PAUSES_S))


@dataclass(frozen=True)
class Killed:
    """SIGKILL of a server, and a start on the same data and port."""

    name: str
    what: str
    proof: Proof
    lasts_s: float
    server: Callable[[World], Server]

    def strike(self, world: World, random: Random) -> Damage:
        world.wait(random.random())
        server = self.server(world)
        assert server.process is not None
        at = time.time()
        server.process.kill()
        server.process.wait()
        start_again(server)
        since = time.time()
        return Damage(at, since, since - at)


def paused(world: World, server: Server, seconds: float) -> Damage:
    """SIGSTOP of every process of a server, and SIGCONT after some seconds."""
    return outage(
        world,
        seconds,
        lambda: world.signal_server(server, signal.SIGSTOP),
        lambda: world.signal_server(server, signal.SIGCONT),
    )


def start_again(server: Server) -> None:
    """On the same data and port; returns when it is ready."""
    for left in reversed(range(STARTS)):
        server.start()
        try:
            server.wait_ready()
            return
        except StartError:  # PostgreSQL: sessions of the dead one still hold its shared memory
            if left == 0:
                raise
            time.sleep(0.5)


class SinkKilled:
    name = "sink-killed"
    what = "SIGKILL of the ledger sink; it is started again"
    proof: Proof = "postings"
    lasts_s = 14.0

    def strike(self, world: World, random: Random) -> Damage:
        world.wait(random.random())
        at = time.time()
        since = world.kill(world.sink)
        world.start_sink()
        return Damage(at, since)


FAULTS: Final[list[Fault]] = [
    Paused(
        "broker-paused", "SIGSTOP of the broker for 2 to 12 s, then SIGCONT",
        "decisions", 17.0, lambda world: world.broker,
    ),
    Killed(
        "broker-killed", "SIGKILL of the broker; it is started again on the same data and port",
        "decisions", 22.0, lambda world: world.broker,
    ),
    Paused(
        "postgres-paused", "SIGSTOP of PostgreSQL with all its sessions for 2 to 12 s, then SIGCONT",
        "postings", 10.0, lambda world: world.postgres,
    ),
    Killed(
        "postgres-killed", "SIGKILL of PostgreSQL; it is started again on the same data and port",
        "postings", 7.0, lambda world: world.postgres,
    ),
    SinkKilled(),
]  # fmt: skip
