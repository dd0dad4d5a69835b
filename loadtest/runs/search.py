"""The highest rate whose p99 stays under a bound: bracket it, halve the bracket, then prove the answer by a repeat.

Runs are noisy: one lucky run proves nothing. So the answer is a rate that passed twice, once in the search and once in
a run of its own at the end; where the repeat fails, the next lower rate that passed is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Final

GROWTH: Final = 2.0
"""The bracket grows and shrinks by this factor."""

REPEATS: Final = 2
"""Runs kept in reserve for proving the answer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where to look and how long."""

    p99_ms: float
    start: float  # the first rate tried
    lowest: float
    highest: float
    precision: float  # the bracket is narrow enough when its ends differ by this part: 0.1 is ten per cent
    most_runs: int  # repeats included


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the search."""

    rate: float
    p99_ms: float
    decided: float  # decisions per second while the load lasted
    failures: tuple[str, ...]  # why the run was no pass by itself
    repeat: bool  # part of the proof, not of the search
    within: bool  # a pass, and under the bound


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search; `rate` is None when no rate passed twice."""

    rate: float | None
    trials: tuple[Trial, ...]
    note: str  # why the search ended


Measure = Callable[[float, bool], Trial]
"""Called with (rate, whether it is a repeat)."""


def find_max(measure: Measure, bounds: Bounds) -> Found:
    """Search and prove, in at most `most_runs` runs."""
    search = _Search(measure, bounds)
    search.bracket()
    search.halve()
    return search.prove()


class _Search:
    def __init__(self, measure: Measure, bounds: Bounds) -> None:
        self._measure = measure
        self._bounds = bounds
        self._trials: list[Trial] = []
        self._failed: float | None = None  # the lowest rate known to fail
        self._passed: list[float] = []  # rates below it that passed, each once

    def bracket(self) -> None:
        """Until a rate passed and a higher one failed, or an end of the range is reached."""
        rate = min(max(self._bounds.start, self._bounds.lowest), self._bounds.highest)
        while self._may_search():
            within = self._try(rate)
            if within and (self._failed is not None or rate >= self._bounds.highest):
                return
            if not within and (self._passed or rate <= self._bounds.lowest):
                return
            rate = rate * GROWTH if within else rate / GROWTH
            rate = min(max(rate, self._bounds.lowest), self._bounds.highest)

    def halve(self) -> None:
        """Narrow the bracket, in the middle by ratio: rates matter by their ratio."""
        while self._may_search() and self._passed and self._failed is not None:
            low, high = max(self._passed), self._failed
            if high <= low * (1 + self._bounds.precision):
                return
            self._try(sqrt(low * high))

    def prove(self) -> Found:
        """Repeat the highest rate that passed, then the next lower one, until one passes again."""
        for rate in sorted(self._passed, reverse=True):
            if len(self._trials) >= self._bounds.most_runs:
                return self._found(None, "no runs were left to repeat a rate that passed once")
            if self._run(rate, repeat=True).within:
                return self._found(rate, self._why(rate))
        if self._passed:
            return self._found(None, "no rate that passed once passed again")
        return self._found(None, f"not even {min(trial.rate for trial in self._trials):,.1f}/s stays within the bound")

    def _why(self, rate: float) -> str:
        if rate < max(self._passed):
            return f"rates up to {max(self._passed):,.1f}/s passed once and not again"
        if self._failed is None:
            if rate >= self._bounds.highest:
                return "the highest rate allowed passes: there may be higher ones"
            return "the runs were used up before any rate failed: there may be higher ones"
        if self._failed > rate * (1 + self._bounds.precision):
            return f"the bracket up to {self._failed:,.1f}/s could not be narrowed further"
        return f"{self._failed:,.1f}/s failed"

    def _may_search(self) -> bool:
        return len(self._trials) < self._bounds.most_runs - REPEATS

    def _try(self, rate: float) -> bool:
        within = self._run(rate, repeat=False).within
        if within:
            self._passed.append(rate)
        else:
            self._failed = rate if self._failed is None else min(self._failed, rate)
        self._passed = [each for each in self._passed if self._failed is None or each < self._failed]
        return within

    def _run(self, rate: float, *, repeat: bool) -> Trial:
        trial = self._measure(rate, repeat)
        self._trials.append(trial)
        return trial

    def _found(self, rate: float | None, note: str) -> Found:
        return Found(rate, tuple(self._trials), note)
