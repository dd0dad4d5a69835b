"""What happened in each interval of a run, as one generator saw it; several generators' parts are added up.

Sends and decisions are counted in the interval in which they happened. A latency belongs to the interval in which its
request was *due*, so a stall shows where it hit, and the sum of all intervals is the whole run.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.latency import HIGHEST_US, Latencies, merged
from loadtest.runs.profile import Share
from loadtest.schedule import SECOND_NS

_LONGEST_NS: Final = HIGHEST_US * 1000
_BEFORE: Final = 1
"""Counts start with one slot for the warm-up and end with one for what came after the sending period."""


@dataclass(frozen=True, slots=True)
class PackedLatencies:
    """A histogram on its way between processes."""

    text: str
    max_ms: float
    overflow: int

    @classmethod
    def of(cls, latencies: Latencies) -> PackedLatencies:
        return cls(latencies.encoded(), latencies.max_ms, latencies.overflow)

    def unpacked(self) -> Latencies:
        return Latencies.decoded(self.text, self.max_ms, self.overflow)


@dataclass(frozen=True, slots=True)
class Counts:
    """One generator's numbers: of the warm-up, of each interval, and of the time after the sending period."""

    sent: list[int]
    refused: list[int]
    decided: list[int]
    shed: list[int]  # of these
    latencies: list[PackedLatencies]  # of each interval only: the warm-up is not measured


@dataclass(frozen=True, slots=True)
class Row:
    """One interval of the whole run."""

    sent: int
    decided: int  # without those that were shed
    shed: int
    outstanding: int  # sent and not decided at its end, warm-up included
    latencies: Latencies  # of the requests due in it


class Series:
    """Records one generator's run: an `openloop.Observer`.

    A decision that comes two minutes after its request was due is overflow, so an interval's samples can be packed as
    soon as nothing else can come: memory stays bounded however long the run.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._profile = share.profile
        slots = self._profile.intervals + 2
        self._sent, self._refused, self._decided, self._shed = ([0] * slots for _ in range(4))
        self._open: dict[int, array[int]] = {}
        self._packed: dict[int, PackedLatencies] = {}
        self._late = [0] * self._profile.intervals
        self._newest = 0

    def sent(self, at_ns: int) -> None:
        """A request was handed over."""
        self._sent[self._slot(at_ns)] += 1

    def refused(self, at_ns: int) -> None:
        """The broker did not take one."""
        self._refused[self._slot(at_ns)] += 1

    def decided(self, k: int, seen_ns: int, *, shed: bool) -> None:
        """The first decision of request `k` was seen; `shed`: the engine had no time for it any more."""
        slot = self._slot(seen_ns)
        self._decided[slot] += 1
        self._shed[slot] += shed
        if k < self._share.warmup:
            return
        due_ns = self._share.due_ns(k)
        row = self._profile.interval_of(due_ns)
        self._pack_until(seen_ns - _LONGEST_NS)
        if row in self._packed:
            self._late[row] += 1
            return
        if row not in self._open:
            self._open[row] = array("q")
            self._newest = max(self._newest, row)
        self._open[row].append((seen_ns - due_ns) // 1000)

    def totals(self) -> tuple[int, int, int]:
        """Requests sent, refused and decided so far, warm-up included."""
        return sum(self._sent), sum(self._refused), sum(self._decided)

    def recent(self) -> list[int]:
        """Latencies in microseconds of the newest interval but one: nearly all of its requests are decided."""
        return list(self._open.get(max(0, self._newest - 1), ()))

    def counts(self) -> Counts:
        """Everything, once the run is over."""
        rows = range(self._profile.intervals)
        return Counts(self._sent, self._refused, self._decided, self._shed, [self._pack(row) for row in rows])

    def _slot(self, at_ns: int) -> int:
        return max(0, self._profile.interval_of(at_ns) + _BEFORE)

    def _pack_until(self, due_ns: int) -> None:
        """Pack the intervals that ended before `due_ns`: what comes from now on would be overflow."""
        while self._open:
            oldest = next(iter(self._open))
            if self._profile.interval_start_ns(oldest + 1) >= due_ns - SECOND_NS:
                return
            self._packed[oldest] = self._pack(oldest)
            del self._open[oldest]

    def _pack(self, row: int) -> PackedLatencies:
        packed = self._packed.get(row)
        if packed is None:
            latencies = Latencies()
            latencies.record_all(np.array(self._open.get(row, ()), dtype=np.int64))
            packed = PackedLatencies.of(latencies)
        return PackedLatencies(packed.text, packed.max_ms, packed.overflow + self._late[row])


def rows(parts: Sequence[Counts]) -> list[Row]:
    """The intervals of the whole run: counts and histograms of all generators added up, never averaged."""
    sent = np.sum([part.sent for part in parts], axis=0)
    decided = np.sum([part.decided for part in parts], axis=0)
    shed = np.sum([part.shed for part in parts], axis=0)
    refused = np.sum([part.refused for part in parts], axis=0)
    outstanding = np.cumsum(sent - refused - decided)
    found = []
    for row, packed in enumerate(zip(*(part.latencies for part in parts), strict=True)):
        slot = row + _BEFORE
        latencies = merged(each.unpacked() for each in packed)
        found.append(
            Row(int(sent[slot]), int(decided[slot] - shed[slot]), int(shed[slot]), int(outstanding[slot]), latencies)
        )
    return found
