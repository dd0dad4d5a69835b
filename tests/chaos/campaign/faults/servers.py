"""The broker, PostgreSQL and the sink are paused, killed and started again."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from random import Random
from typing import Final

from deploy.embedded.errors import StartError
from deploy.embedded.kafka import Broker
from deploy.embedded.postgres import Postgres
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held
from tests.chaos.campaign.world import World

STARTS: Final = 10
PAUSES_S: Final = (2.0, 12.0)


def _paused(world: World, server: Broker | Postgres, random: Random) -> Damage:
    """SIGSTOP and SIGCONT of every process of a server."""
    at, pids = time.time(), world.server_pids(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    held_s = held(world, random.uniform(*PAUSES_S))
    since = time.time()
    for pid in reversed(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return Damage(at, since, held_s)


def _killed(server: Broker | Postgres) -> Damage:
    """SIGKILL, and a start on the same data and port."""
    assert server.process is not None
    at = time.time()
    server.process.kill()
    server.process.wait()
    for left in reversed(range(STARTS)):
        server.start()
        try:
            server.wait_ready()
            break
        except StartError:  # PostgreSQL: sessions of the dead one still hold its shared memory
            if left == 0:
                raise
            time.sleep(0.5)
    since = time.time()
    return Damage(at, since, since - at)


class BrokerPaused:
    name = "broker-paused"
    what = "SIGSTOP of the broker for 2 to 12 s, then SIGCONT"
    proof: Proof = "decisions"
    lasts_s = 17.0

    def strike(self, world: World, random: Random) -> Damage:
        return _paused(world, world.broker, random)


class BrokerKilled:
    name = "broker-killed"
    what = "SIGKILL of the broker; it is started again on the same data and port"
    proof: Proof = "decisions"
    lasts_s = 22.0

    def strike(self, world: World, random: Random) -> Damage:
        world.wait(random.random())
        return _killed(world.broker)


class PostgresPaused:
    name = "postgres-paused"
    what = "SIGSTOP of PostgreSQL with all its sessions for 2 to 12 s, then SIGCONT"
    proof: Proof = "postings"
    lasts_s = 10.0

    def strike(self, world: World, random: Random) -> Damage:
        return _paused(world, world.postgres, random)


class PostgresKilled:
    name = "postgres-killed"
    what = "SIGKILL of PostgreSQL; it is started again on the same data and port"
    proof: Proof = "postings"
    lasts_s = 7.0

    def strike(self, world: World, random: Random) -> Damage:
        world.wait(random.random())
        return _killed(world.postgres)


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


FAULTS: Final[list[Fault]] = [BrokerPaused(), BrokerKilled(), PostgresPaused(), PostgresKilled(), SinkKilled()]
