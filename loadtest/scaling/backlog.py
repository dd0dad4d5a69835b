"""One part of a round: so many workers share the partitions, and work off a backlog that comes to them all at once.

Requests stand in the input topic before workers see the first one, so nobody has to make them while workers are
measured. What a worker has done shows in the offsets that its group has committed: exact at the moment of each commit.
A worker's figures run from its first commit to its last one before anybody ran out of work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest.scaling import process
from loadtest.scaling.errors import ScalingError
from loadtest.scaling.ground import Committed, make_topics, owners, send_backlog, skip_input, write_rows
from loadtest.scaling.growth import BUSY_SAMPLE_S, LEAVING_S
from loadtest.scaling.hits import hit
from loadtest.scaling.population import Population
from loadtest.scaling.process import Spent, spent
from loadtest.scaling.worker import Servers, WorkerProcess, calmed, worker_name, workers
from topics.declarations import AUTHORIZATIONS

LOOK_S: Final = 0.05
SHARED_OUT_S: Final = 60.0
STUCK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """Everything at one moment."""

    committed: Mapping[int, int]  # partition -> offset of the next request to decide
    workers: Sequence[Spent]
    broker: Spent
    generator: Spent  # this process


@dataclass(frozen=True, slots=True)
class Worked:
    """One worker, while all had work."""

    name: str
    partitions: int
    decided: int
    seconds: float
    cpu_seconds: float
    waited: float | None  # part of the time in which its main thread was ready to run and had no core

    @property
    def rate(self) -> float:
        """Decisions per second as the clock on the wall tells."""
        return self.decided / self.seconds

    @property
    def rate_of_a_core(self) -> float:
        """Decisions per second of processor time."""
        return self.decided / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class Drained:
    """One round with so many workers."""

    number: int  # from 1
    busy_percent: float
    pinned: bool  # each worker had a core that nobody else of the run used
    workers: tuple[Worked, ...]
    broker_cpu_seconds: float  # from the first look to the last one at which all had work
    generator_cpu_seconds: float
    decided: int  # in that time, by all

    @property
    def rate(self) -> float:
        """Of all workers, as measured."""
        return sum(each.rate for each in self.workers)

    @property
    def rate_of_cores(self) -> float:
        """Of all workers, if each had a core for itself: what they do in a second of processor time, added up."""
        return sum(each.rate_of_a_core for each in self.workers)


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores belong to whom; with too few of them nobody is pinned."""

    of_workers: tuple[int, ...]
    of_others: tuple[int, ...]

    @classmethod
    def shared_out(cls, available: Iterable[int], most_workers: int) -> Cores | None:
        """One for each worker and at least two for broker and generator, else None."""
        cores = sorted(available)
        if len(cores) < most_workers + 2:
            return None
        return cls(tuple(cores[:most_workers]), tuple(cores[most_workers:]))


class Team:
    """A group of so many workers on a table of its own, round after round from the same rows."""

    def __init__(self, servers: Servers, population: Population, size: int, cores: Cores | None) -> None:
        self._servers = servers
        self._population = population
        self._size = size
        self._cores = cores
        self._touched = set(range(population.size))
        self.group = f"workers-{size}"
        make_topics(servers.cluster, self.group, servers.partitions)

    def play(self, number: int, backlog: int, seed: int) -> Drained:
        """One round; raises ScalingError, Unreachable, or what ended a worker."""
        busy = psutil.cpu_percent(BUSY_SAMPLE_S)
        servers, population = self._servers, self._population
        numbers = [int(each) for each in hit(population.size, backlog, "uniform", seed)]
        requests = [record for (record,) in population.requests(numbers, f"{self.group}-{number}", servers.partitions)]
        write_rows(servers.cluster, self.group, servers.partitions, population.rows(sorted(self._touched)))
        self._touched = set(numbers)
        skip_input(servers.cluster, self.group, servers.partitions, LEAVING_S)
        with workers(servers, self.group, self._size, str(number)) as team:
            for each in team:
                calmed(each)
            owned = self._shared_out(team)
            with self._pinned(team):
                ends = send_backlog(servers.cluster, self.group, servers.partitions, requests)
                looks = self._watch(team, ends)
        return summary(number, busy, looks, owned, ends, pinned=self._cores is not None)

    def _shared_out(self, team: Sequence[WorkerProcess]) -> dict[str, set[int]]:
        """Wait until every worker has partitions, and every partition a worker."""
        deadline = time.monotonic() + SHARED_OUT_S
        names = {worker_name(number) for number in range(self._size)}
        while True:
            found = owners(self._servers.cluster, self.group, AUTHORIZATIONS.name)
            all_owned = sum(map(len, found.values())) == self._servers.partitions
            if found.keys() == names and all(found.values()) and all_owned:
                return {name: found[name] for name in sorted(names)}
            for each in team:
                each.check()
            if time.monotonic() > deadline:
                raise ScalingError(f"{self._size} workers did not share out {self._servers.partitions} partitions")
            time.sleep(LOOK_S)

    @contextmanager
    def _pinned(self, team: Sequence[WorkerProcess]) -> Iterator[None]:
        """Every worker on its core, broker and this process on the others, where there are enough."""
        if self._cores is None:
            yield
            return
        mine = os.sched_getaffinity(0)
        for each, core in zip(team, self._cores.of_workers, strict=False):
            process.pin(each.pid, {core})
        for pid in (self._servers.broker_pid, os.getpid()):
            process.pin(pid, self._cores.of_others)
        try:
            yield
        finally:
            process.pin(os.getpid(), mine)

    def _watch(self, team: Sequence[WorkerProcess], ends: Mapping[int, int]) -> list[Look]:
        """Look until every request is decided."""
        servers, looks = self._servers, list[Look]()
        moved = time.monotonic()
        with closing(Committed(servers.cluster, self.group, AUTHORIZATIONS.name, servers.partitions)) as progress:
            while True:
                committed = progress.read()
                if not looks or committed != looks[-1].committed:
                    moved = time.monotonic()
                used = [spent(each.pid) for each in team]
                looks.append(Look(committed, used, spent(servers.broker_pid), spent(os.getpid())))
                if committed == ends:
                    return looks
                for each in team:
                    each.check()
                if time.monotonic() - moved > STUCK_S:
                    left = sum(ends.values()) - sum(committed.values())
                    raise ScalingError(f"{left:,} requests wait, and none was decided for {STUCK_S:.0f} s")
                time.sleep(LOOK_S)


def summary(
    number: int,
    busy: float,
    looks: Sequence[Look],
    owned: Mapping[str, set[int]],
    ends: Mapping[int, int],
    *,
    pinned: bool,
) -> Drained:
    """What the looks tell of the time in which every worker had work; raises ScalingError if that was too short."""
    at_work = list(_while_all_work(looks, owned, ends))
    found = tuple(_worked(at_work, which, name, owned[name]) for which, name in enumerate(owned))
    first, last = at_work[0], at_work[-1]
    return Drained(
        number=number,
        busy_percent=busy,
        pinned=pinned,
        workers=found,
        broker_cpu_seconds=round(last.broker.cpu_seconds - first.broker.cpu_seconds, 3),
        generator_cpu_seconds=round(last.generator.cpu_seconds - first.generator.cpu_seconds, 3),
        decided=sum(last.committed.values()) - sum(first.committed.values()),
    )


def _while_all_work(looks: Sequence[Look], owned: Mapping[str, set[int]], ends: Mapping[int, int]) -> Iterator[Look]:
    for look in looks:
        if any(all(look.committed[partition] == ends[partition] for partition in mine) for mine in owned.values()):
            return
        yield look


def _worked(looks: Sequence[Look], which: int, name: str, mine: set[int]) -> Worked:
    """From commit to commit: what lies between the first and the last one is done, whole slices of it."""
    done = [sum(look.committed[partition] for partition in mine) for look in looks]
    commits = [at for at, (before, after) in enumerate(pairwise(done), 1) if after != before]
    if len(commits) < 2:
        raise ScalingError(f"{name} had work for less than two transactions: give a longer --backlog")
    first, last = commits[0], commits[-1]
    begin, end = looks[first].workers[which], looks[last].workers[which]
    return Worked(
        name=name,
        partitions=len(mine),
        decided=done[last] - done[first],
        seconds=round((end.at_ns - begin.at_ns) / 1e9, 3),
        cpu_seconds=round(end.cpu_seconds - begin.cpu_seconds, 3),
        waited=process.waited_share(begin, end),
    )
