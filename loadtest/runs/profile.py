"""When every request of a load test is due: rates over time, an interval grid, and one generator's share of it.

A profile is a list of stretches, each with a rate that is constant or changes linearly. Request k is due at the moment
when k requests should have begun, whatever the system under test does. With n generators, generator i sends the
requests i, i + n, i + 2n ...: together they are as evenly spaced as one generator's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import ceil, floor, sqrt
from typing import Final

from loadtest.schedule import SECOND_NS

MOST_INTERVALS: Final = 600
"""A report has at most about this many rows: the intervals of a long run are longer than a second."""

SHORTEST_INTERVAL: Final = 1.0
_PARTS: Final = 10
"""Stages into which a ramp and a soak are cut."""


class BadProfile(ValueError):
    """Rates or times that make no load; the message says which."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """`seconds` in which the rate goes from `first` to `last` requests per second, evenly."""

    seconds: float
    first: float
    last: float

    @property
    def requests(self) -> float:
        """Requests due in it, fractions included."""
        return self.seconds * (self.first + self.last) / 2

    def requests_by(self, seconds: float) -> float:
        """Requests due in its first `seconds`, fractions included."""
        return seconds * (self.first + (self.last - self.first) * seconds / self.seconds / 2)

    def when(self, requests: float) -> float:
        """Seconds after which `requests` are due: the inverse of `requests_by`, in a form that divides by no slope."""
        slope = (self.last - self.first) / self.seconds
        return 2 * requests / (self.first + sqrt(max(0.0, self.first**2 + 2 * slope * requests)))


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the measured period that gets a line of its own; seconds count from the end of the warm-up."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Profile:
    """A load over time: `warmup` seconds at the first rate that are not measured, then the stretches."""

    name: str
    warmup: float
    stretches: tuple[Stretch, ...]
    stages: tuple[Stage, ...]
    interval: float  # seconds of one row of the report; stages are whole numbers of them

    @cached_property
    def _all(self) -> tuple[Stretch, ...]:
        first = self.stretches[0].first
        return (*([Stretch(self.warmup, first, first)] if self.warmup else []), *self.stretches)

    @cached_property
    def _starts(self) -> list[float]:
        """Seconds from the start at which each stretch begins, and the end."""
        return [0.0, *accumulate(stretch.seconds for stretch in self._all)]

    @cached_property
    def _counts(self) -> list[float]:
        """Requests due before each stretch, and all."""
        return [0.0, *accumulate(stretch.requests for stretch in self._all)]

    @property
    def seconds(self) -> float:
        """Length of the measured period."""
        return sum(stretch.seconds for stretch in self.stretches)

    @property
    def intervals(self) -> int:
        """Rows of the report."""
        return max(1, round(self.seconds / self.interval))

    @cached_property
    def total(self) -> int:
        """Requests to send, warm-up included."""
        return max(1, round(self._counts[-1]))

    @cached_property
    def warmup_requests(self) -> int:
        """How many of them are due before the warm-up ends."""
        return min(self.total - 1, self.due_before(self.measured_from_ns))

    @property
    def mean_rate(self) -> float:
        """Measured requests per second."""
        return (self.total - self.warmup_requests) / self.seconds

    @property
    def measured_from_ns(self) -> int:
        """End of the warm-up, in nanoseconds from the start."""
        return round(self.warmup * SECOND_NS)

    @cached_property
    def length_ns(self) -> int:
        """End of the sending period, in nanoseconds from the start."""
        return round(self._starts[-1] * SECOND_NS)

    def due_ns(self, k: int) -> int:
        """Nanoseconds from the start at which request `k` (from 0) is due."""
        stretch = min(bisect_right(self._counts, k), len(self._all)) - 1
        seconds = self._starts[stretch] + self._all[stretch].when(k - self._counts[stretch])
        return round(seconds * SECOND_NS)

    def due_by(self, elapsed_ns: int) -> int:
        """How many requests are due once `elapsed_ns` have passed: as many as `due_ns` says, to the nanosecond."""
        if elapsed_ns < 0:
            return 0
        seconds = min(elapsed_ns / SECOND_NS, self._starts[-1])
        stretch = min(bisect_right(self._starts, seconds), len(self._all)) - 1
        begun = self._counts[stretch] + self._all[stretch].requests_by(seconds - self._starts[stretch])
        due = min(self.total, floor(begun) + 1)
        while due < self.total and self.due_ns(due) <= elapsed_ns:
            due += 1
        while due and self.due_ns(due - 1) > elapsed_ns:
            due -= 1
        return due

    def due_before(self, elapsed_ns: int) -> int:
        """How many requests are due earlier than that."""
        return self.due_by(elapsed_ns - 1)

    def interval_of(self, at_ns: int) -> int:
        """Row of a moment in nanoseconds from the start; negative in the warm-up, `intervals` after the period."""
        if at_ns >= self.length_ns:
            return self.intervals
        return min(floor((at_ns - self.measured_from_ns) / (self.interval * SECOND_NS)), self.intervals - 1)

    def interval_start_ns(self, row: int) -> int:
        """Beginning of a row, in nanoseconds from the start; of row `intervals`: the end of the period."""
        if row >= self.intervals:
            return self.length_ns
        return self.measured_from_ns + round(row * self.interval * SECOND_NS)


@dataclass(frozen=True)
class Share:
    """The requests of generator `number` (from 0) of `generators`, numbered 0, 1, 2 ...: a `schedule.Timetable`."""

    profile: Profile
    number: int
    generators: int

    @cached_property
    def total(self) -> int:
        """Requests to send, warm-up included."""
        return self._of(self.profile.total)

    @cached_property
    def warmup(self) -> int:
        """How many of them, the first ones, are not measured."""
        return self._of(self.profile.warmup_requests)

    def due_ns(self, k: int) -> int:
        """Nanoseconds from the start at which its request `k` is due."""
        return self.profile.due_ns(self.number + k * self.generators)

    def due_by(self, elapsed_ns: int) -> int:
        """How many of its requests are due once `elapsed_ns` have passed."""
        return self._of(self.profile.due_by(elapsed_ns))

    @property
    def measured_from_ns(self) -> int:
        """End of the warm-up, in nanoseconds from the start."""
        return self.profile.measured_from_ns

    @property
    def length_ns(self) -> int:
        """End of the sending period, in nanoseconds from the start."""
        return self.profile.length_ns

    def _of(self, requests: int) -> int:
        """How many of the first `requests` are its own."""
        return max(0, ceil((requests - self.number) / self.generators))


def steady(rate: float, seconds: float, warmup: float) -> Profile:
    """One rate throughout."""
    _positive(rate=rate, seconds=seconds)
    stretch = Stretch(seconds, rate, rate)
    return _profile("steady", warmup, [stretch], [Stage(_per_second(rate), 0, seconds)])


def ramp(first: float, last: float, seconds: float, warmup: float) -> Profile:
    """From one rate to another, evenly; in ten stages."""
    _positive(**{"from": first, "to": last, "seconds": seconds})
    stretch = Stretch(seconds, first, last)
    length = seconds / _PARTS
    means = [first + (last - first) * (part + 0.5) / _PARTS for part in range(_PARTS)]
    stages = [Stage(_per_second(mean), part * length, (part + 1) * length) for part, mean in enumerate(means)]
    return _profile("ramp", warmup, [stretch], stages)


def step(rates: Sequence[float], seconds: float, warmup: float) -> Profile:
    """Each rate for `seconds`, one after the other."""
    if not rates:
        raise BadProfile("a step profile needs at least one rate")
    for rate in rates:
        _positive(rate=rate, seconds=seconds)
    stages = [Stage(_per_second(rate), n * seconds, (n + 1) * seconds) for n, rate in enumerate(rates)]
    return _profile("step", warmup, [Stretch(seconds, rate, rate) for rate in rates], stages)


def soak(rate: float, seconds: float, warmup: float) -> Profile:
    """One rate for a long time; in ten stages that show whether anything drifts."""
    _positive(rate=rate, seconds=seconds)
    length = seconds / _PARTS
    stages = [Stage(f"part {part + 1}", part * length, (part + 1) * length) for part in range(_PARTS)]
    return _profile("soak", warmup, [Stretch(seconds, rate, rate)], stages)


def _profile(name: str, warmup: float, stretches: list[Stretch], stages: list[Stage]) -> Profile:
    if warmup < 0:
        raise BadProfile(f"warmup cannot be negative: {warmup:g}")
    seconds = sum(stretch.seconds for stretch in stretches)
    length = seconds / len(stages)
    wanted = min(length, max(SHORTEST_INTERVAL, seconds / MOST_INTERVALS))
    interval = length / max(1, floor(length / wanted))
    return Profile(name, warmup, tuple(stretches), tuple(stages), interval)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise BadProfile(f"{name} must be above 0, not {value:g}")


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.3g}/s"
