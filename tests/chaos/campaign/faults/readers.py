"""Those who read what comes out are slow: the analyst, who reads decisions and updates, and the ledger sink.

Nobody may wait for them, and they must have everything in the end.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, outage, until
from tests.chaos.campaign.reader import LONGEST_PAUSE_S
from tests.chaos.campaign.world import World

SLOW_S: Final = (8.0, 12.0)
SINK_AWAY_S: Final = (11.0, 15.0)
"""Longer than the session of the sink (10 s): its partitions are taken from it meanwhile."""
BACK_S: Final = 60.0
RUNS_S, STANDS_S = 0.05, 0.6


class ReaderStopped:
    name = "reader-stopped"
    what = "a consumer of decisions and updates stops for so long that its group throws it out, and comes back"
    proof: Proof = "reading"
    lasts_s = 12.0

    def strike(self, world: World, random: Random) -> Damage:
        reader = world.reader
        before = reader.assigned
        damage = outage(world, LONGEST_PAUSE_S + random.uniform(2.0, 5.0), reader.stop, reader.go)
        otherwise = "its group did not throw the reader out, or not take it back"
        until(world, BACK_S, lambda: reader.assigned != before, otherwise)
        return damage


class ReaderSlow:
    name = "reader-slow"
    what = "a consumer of decisions and updates reads 20 a second at most for 8 to 12 s"
    proof: Proof = "reading"
    lasts_s = 12.0

    def strike(self, world: World, random: Random) -> Damage:
        return outage(world, random.uniform(*SLOW_S), world.reader.slow_down, world.reader.go)


class SinkPaused:
    name = "sink-paused"
    what = "SIGSTOP of the ledger sink for longer than its session, then SIGCONT"
    proof: Proof = "postings"
    lasts_s = 15.0

    def strike(self, world: World, random: Random) -> Damage:
        return outage(
            world,
            random.uniform(*SINK_AWAY_S),
            lambda: world.sink.signal(signal.SIGSTOP),
            lambda: world.sink.signal(signal.SIGCONT),
        )


@dataclass(frozen=True)
class SinkThrottled:
    """SIGSTOP and SIGCONT by turns."""

    name: str = "sink-throttled"
    what: str = "the ledger sink runs for a thirteenth of the time (SIGSTOP and SIGCONT by turns), for 8 to 12 s"
    proof: Proof = "postings"
    lasts_s: float = 13.0

    def strike(self, world: World, random: Random) -> Damage:
        at, until = time.time(), time.monotonic() + random.uniform(*SLOW_S)
        sink = world.sink
        try:
            while time.monotonic() < until and sink is world.sink:
                sink.signal(signal.SIGSTOP)
                world.wait(STANDS_S)
                sink.signal(signal.SIGCONT)
                world.wait(RUNS_S)
        finally:
            sink.signal(signal.SIGCONT)
        since = time.time()
        return Damage(at, since, since - at)


FAULTS: Final[list[Fault]] = [ReaderStopped(), ReaderSlow(), SinkPaused(), SinkThrottled()]
