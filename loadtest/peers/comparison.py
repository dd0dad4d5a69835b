"""Plays every peer in every round, one at a time and interleaved, so that a slow minute of the machine hits them all.

A peer's part of a round: its own topics and process; greetings until it answers on every partition; the highest rate
(which warms it up as well); quiet; the latency at each rate that it can do; the audit of all it was sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest import clients, machine
from loadtest.peers.audit import audit
from loadtest.peers.capacity import Capacity, Flood, saturate
from loadtest.peers.catalogue import Launch, OnProgress, Peer, Toolbox, chosen
from loadtest.peers.decided import DecidedCounter
from loadtest.peers.errors import PeerError, PeerFailed, Unavailable
from loadtest.peers.java import Java
from loadtest.peers.process import PeerProcess, running
from loadtest.peers.report import PeerResult, PeersReport, Round
from loadtest.peers.scene import staged
from loadtest.peers.stage import Stage
from loadtest.peers.stopwatch import Timed, time_decisions
from loadtest.peers.traffic import Prepared, greetings, requests
from loadtest.schedule import Schedule
from topics.cluster import Cluster

READY_S: Final = 90.0
ALL_DECIDED_S: Final = 30.0
BUSY_SAMPLE_S: Final = 1.0
"""How long to look, before each part of a round, at what else the machine is doing."""

FLOOD_RECORDS: Final = 200_000
"""Prepared for the flood, which goes round and round them: about 50 MB."""

HEADROOM: Final = 1.05
"""A rate is timed if the highest sustained one exceeds it by this factor: beyond, only a growing queue is seen."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to compare, and how long."""

    bootstrap: str
    home: Path  # what is fetched or built once goes to home/cache
    rates: tuple[int, ...] = (1000, 5000)  # records per second
    seconds: float = 10.0  # timed, at each rate
    warmup: float = 2.0  # before that, at the same rate
    capacity_seconds: float = 8.0  # steady state of the highest rate
    settle: float = 6.0  # flooded before that, at least (five times as long if the rate still grows)
    quiet: float = 20.0  # nothing is sent after it
    rounds: int = 3
    accounts: int = 10_000
    partitions: int = 4
    peers: tuple[str, ...] = ()  # names as in the catalogue; none: all
    java: Java | None = None  # None: peers in Java are left out
    broker: str = ""  # what the broker is, for the report
    command: str = ""  # what the user typed, for the report


@dataclass(frozen=True, slots=True)
class _Load:
    """All records of a part of a round; every part sends the same."""

    greetings: list[Prepared]
    flood: Flood
    timed: dict[int, tuple[Schedule, list[Prepared]]]

    @classmethod
    def prepared(cls, options: Options) -> _Load:
        accounts, partitions = options.accounts, options.partitions
        flood = requests("flood", FLOOD_RECORDS, accounts, partitions)
        schedules = {rate: Schedule.lasting(rate, options.seconds, options.warmup) for rate in options.rates}
        return cls(
            greetings(partitions),
            Flood("flood", flood, options.settle, options.capacity_seconds),
            {rate: (s, requests(f"at-{rate}", s.total, accounts, partitions)) for rate, s in schedules.items()},
        )


def compare(options: Options, on_progress: OnProgress) -> PeersReport:
    """Run the comparison on the broker at `options.bootstrap`.

    Raises UnknownPeer, or Unreachable when the broker does not answer. What goes wrong with one peer is in its row.
    """
    peers = chosen(options.peers)
    clients.require(Cluster(options.bootstrap))
    began = datetime.now(UTC).isoformat(timespec="seconds")
    results = {peer.name: _blank(peer) for peer in peers}
    launches = _set_up(peers, results, Toolbox(options.home / "cache", options.java, on_progress))
    on_progress("preparing the requests")
    load = _Load.prepared(options)
    for number in range(1, options.rounds + 1):
        for peer, launch in _rotated(launches, number - 1):
            on_progress(f"round {number} of {options.rounds}: {peer.title}")
            results[peer.name].rounds.append(_play(peer, launch, number, load, options, on_progress))
    return PeersReport(
        command=options.command,
        began=began,
        machine=machine.facts() | ({"broker": options.broker} if options.broker else {}),
        plan=_plan(options),
        rates=options.rates,
        peers=list(results.values()),
    )


def _blank(peer: Peer) -> PeerResult:
    return PeerResult(peer.name, peer.title, peer.guarantee, peer.exactly_once, peer.versions())


def _set_up(peers: Sequence[Peer], results: dict[str, PeerResult], tools: Toolbox) -> list[tuple[Peer, Launch]]:
    """The peers that can run here; a row of the others says why not."""
    launches = []
    for peer in peers:
        try:
            launches.append((peer, peer.prepare(tools)))
        except Unavailable as error:
            results[peer.name].unavailable = str(error)
            tools.on_progress(f"{peer.title}: {error}")
    return launches


def _rotated(items: Sequence[tuple[Peer, Launch]], by: int) -> list[tuple[Peer, Launch]]:
    start = by % len(items) if items else 0
    return [*items[start:], *items[:start]]


def _play(peer: Peer, launch: Launch, number: int, load: _Load, options: Options, on_progress: OnProgress) -> Round:
    """One peer's part of a round."""
    played = Round(number, busy_percent=psutil.cpu_percent(BUSY_SAMPLE_S))
    with staged(options.bootstrap, peer, number, options.partitions) as stage:
        log = stage.folder / "peer.log"
        try:
            with running(launch.command(stage), log, launch.environment) as process:
                _Part(stage, process, load, options, played).play()
        except PeerError as error:
            played.failure = str(error)
    on_progress(f"  {_in_words(played)}")
    return played


class _Part:
    """The steps of one peer's part, in order; what was measured before a failure stays in `played`."""

    def __init__(self, stage: Stage, process: PeerProcess, load: _Load, options: Options, played: Round) -> None:
        self._stage, self._process, self._load = stage, process, load
        self._options, self._played = options, played
        self._counter = DecidedCounter(stage.cluster, stage.decisions, stage.partitions)
        self._sent = 0

    def play(self) -> None:
        """Raises PeerError."""
        try:
            self._played.start_seconds = self._greet()
            self._played.capacity = capacity = self._saturate()
            self._rest()
            for rate, (schedule, prepared) in self._load.timed.items():
                if capacity.rate >= rate * HEADROOM:
                    self._played.timed[rate] = self._time(schedule, prepared)
            self._counter.read_until(self._sent, ALL_DECIDED_S, self._process)
            self._played.audit = audit(self._stage)
        finally:
            self._counter.close()

    def _greet(self) -> float:
        began = time.monotonic()
        producer = clients.producer(self._stage.cluster)
        for partition, key, value, _request_id in self._load.greetings:
            producer.produce(self._stage.requests, value, key, partition)
        producer.flush(READY_S)
        self._sent += len(self._load.greetings)
        if not self._counter.read_until(self._sent, READY_S, self._process):
            raise PeerFailed(f"no decision on some partition within {READY_S:.0f} s: {self._process.last_words()}")
        return round(time.monotonic() - began, 2)

    def _saturate(self) -> Capacity:
        capacity = saturate(self._stage, self._load.flood, self._counter, self._process)
        self._sent += capacity.sent
        return capacity

    def _rest(self) -> None:
        """What a flood leaves to others is none of what is timed next: gigabytes that the system has to write, during
        which a broker's append may wait for 100 ms, and logs to compact, for which Kafka looks every 15 s."""
        if not self._options.quiet:
            return
        until = time.monotonic() + self._options.quiet
        os.sync()
        while (left := until - time.monotonic()) > 0:
            self._process.check()
            time.sleep(min(1.0, left))

    def _time(self, schedule: Schedule, prepared: list[Prepared]) -> Timed:
        timed = time_decisions(self._stage, schedule, prepared, self._process)
        self._sent += schedule.total - timed.unsent
        return timed


def _in_words(played: Round) -> str:
    words = []
    if played.capacity:
        words.append(f"{played.capacity.rate:,.0f}/s")
    words += [f"p99 {timed.latency_ms['p99']} ms at {rate:,}/s" for rate, timed in played.timed.items()]
    if played.audit:
        words.append("every request decided once" if played.audit.clean else f"NOT CLEAN: {played.audit}")
    if played.failure:
        words.append(f"FAILED: {played.failure}")
    return ", ".join(words)


def _plan(options: Options) -> dict[str, object]:
    left_out = {"bootstrap", "home", "java", "broker", "command"}
    return {name: value for name, value in asdict(options).items() if name not in left_out}
