"""The highest sustained rate: more is offered than a peer can do, and its decisions are counted in the steady state.

How many requests wait for it is held at about a second of its work, so that it is never idle and the backlog is worked
off in seconds. What it has done shows in the end offsets of its decisions topic, which cost next to nothing to ask
for; the decisions themselves are read afterwards, and their rate follows from the broker's own timestamps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from loadtest import clients
from loadtest.openloop import undisturbed
from loadtest.peers.decided import DecidedCounter
from loadtest.peers.errors import PeerFailed
from loadtest.peers.process import PeerProcess
from loadtest.peers.stage import Stage
from loadtest.peers.traffic import Prepared, endless
from loadtest.usage import UsageMeter

LEAST_WAITING: Final = 5_000
MOST_WAITING: Final = 40_000
DRAIN_S: Final = 60.0

SLOT_S: Final = 2.0
STILL_GROWING: Final = 1.05
MOST_SETTLING: Final = 5

_LOOK_S: Final = 0.05
_PAUSE_S: Final = 0.001
_CHUNK: Final = 500
_STARVED_S: Final = 2.0  # longer than this without a full backlog: the sender is the bottleneck


@dataclass(frozen=True, slots=True)
class Capacity:
    """One peer's highest sustained rate in one round."""

    rate: float  # decisions per second of the steady state
    seconds: float  # length of the steady state
    settled_after: float  # seconds of flood before it
    sent: int  # records
    starved: bool  # the sender did not keep the peer busy: the true rate may be higher
    cpu_percent: float | None  # of one core, of the peer's process, in the steady state
    rss_mb: float | None


@dataclass(frozen=True, slots=True)
class Flood:
    """What to send and how long. `name` is what the prepared records were named."""

    name: str
    prepared: Sequence[Prepared]
    settle: float  # seconds, at least
    seconds: float  # of steady state


def saturate(stage: Stage, flood: Flood, counter: DecidedCounter, process: PeerProcess) -> Capacity:
    """Offer as much as the peer takes until its rate no longer grows, count for a while, and wait for the rest.

    Raises PeerFailed.
    """
    before = counter.count
    sender = _Sender(stage, flood, process)
    with undisturbed():
        settled_after = sender.run_until_settled(flood.settle)
        with UsageMeter(process.pid) as usage:
            start_ms = time.time_ns() // 1_000_000
            sender.run_for(flood.seconds)
            end_ms = time.time_ns() // 1_000_000
    sender.close()
    if not counter.read_until(before + sender.sent, DRAIN_S, process):
        decided = counter.count - before
        raise PeerFailed(f"{decided:,} of {sender.sent:,} requests were decided {DRAIN_S:.0f} s after the flood")
    used = usage.result()
    length = (end_ms - start_ms) / 1000
    return Capacity(
        rate=round(counter.between(start_ms, end_ms) / length, 1),
        seconds=round(length, 2),
        settled_after=round(settled_after, 1),
        sent=sender.sent,
        starved=sender.starved,
        cpu_percent=used.cpu_percent if used else None,
        rss_mb=used.rss_mb if used else None,
    )


class _Sender:
    """Keeps about a second of work waiting for the peer."""

    def __init__(self, stage: Stage, flood: Flood, process: PeerProcess) -> None:
        self._producer = clients.load_producer(stage.cluster)
        self._topic = stage.requests
        self._records = endless(flood.name, flood.prepared)
        self._process = process
        self._output = _Output(stage)
        self._looked_at = 0.0
        self.sent = 0
        self.starved = False

    def run_until_settled(self, least: float) -> float:
        """Send for `least` seconds, and on until two slots of `SLOT_S` bring hardly more than the best one before, or
        `MOST_SETTLING` times `least` are over: a JVM compiles what it finds hot. Returns the seconds."""
        began = time.monotonic()
        best, without_growth = 0.0, 0
        while time.monotonic() - began < MOST_SETTLING * least:
            before = self._output.appended
            self.run_for(SLOT_S)
            grown = self._output.appended - before
            without_growth = without_growth + 1 if grown < best * STILL_GROWING else 0
            best = max(best, grown)
            if without_growth >= 2 and time.monotonic() - began >= least:
                break
        return time.monotonic() - began

    def run_for(self, seconds: float) -> None:
        """Send for `seconds`."""
        ends = time.monotonic() + seconds
        enough_waited_at = time.monotonic()
        while (now := time.monotonic()) < ends:
            self._look(now)
            room = self._output.waiting_allowed - (self.sent - self._output.appended)
            if room <= 0:
                enough_waited_at = now
                self._producer.poll(_PAUSE_S)
                continue
            self.starved |= now - enough_waited_at > _STARVED_S
            self._send(min(room, _CHUNK))

    def _look(self, now: float) -> None:
        if now - self._looked_at >= _LOOK_S:
            self._process.check()
            self._output.look()
            self._looked_at = now

    def _send(self, count: int) -> None:
        produce, topic = self._producer.produce, self._topic
        for partition, key, value in islice(self._records, count):
            while True:
                try:
                    produce(topic, value, key, partition)
                except BufferError:
                    self._producer.poll(_PAUSE_S)
                else:
                    break
            self.sent += 1
        self._producer.poll(0)

    def close(self) -> None:
        self._producer.flush(DRAIN_S)
        self._output.close()


class _Output:
    """How far the decisions topic has grown, committed or not, since the beginning, and how much work may wait."""

    def __init__(self, stage: Stage) -> None:
        self._topic, self._partitions = stage.decisions, stage.partitions
        self._reader = clients.reader(stage.cluster, **{"isolation.level": "read_uncommitted"})
        self._first = self._end()
        self._seen: list[tuple[float, int]] = []
        self.appended = 0
        self.waiting_allowed = LEAST_WAITING

    def look(self) -> None:
        """Ask the broker. Transaction markers count as well, a few hundred a second: a little more waits then."""
        now = time.monotonic()
        self.appended = self._end() - self._first
        self._seen = [(at, count) for at, count in self._seen if at > now - 1] + [(now, self.appended)]
        in_last_second = self.appended - self._seen[0][1]
        self.waiting_allowed = max(LEAST_WAITING, min(MOST_WAITING, in_last_second))

    def _end(self) -> int:
        return sum(clients.end_offsets(self._reader, self._topic, self._partitions).values())

    def close(self) -> None:
        self._reader.close()
