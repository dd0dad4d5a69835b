"""Who is abroad, where and until when: one journey after another for each account of a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.traffic import shares
from loadtest.traffic.cardholders import Cardholder
from loadtest.traffic.places import COUNTRIES, VISITED

_YEAR_HOURS: Final = 365.25 * 24


class Journeys:
    """`away` says who is abroad in which hour; `country` is the goal of the journey that is under way or comes next."""

    def __init__(self, rng: np.random.Generator, people: Sequence[Cardholder], start_hour: int) -> None:
        self._rng, size = rng, len(people)
        homes = np.array([COUNTRIES.index(person.home) for person in people])
        income = np.array([person.income for person in people], np.float64)
        self._gap = _YEAR_HOURS / (shares.JOURNEYS_A_YEAR * np.clip(np.sqrt(income / np.median(income)), 0.3, 3.0))
        weights = np.tile(np.array(VISITED, np.float64), (size, 1))
        weights[np.arange(size), homes] = 0.0
        self._reach = weights.cumsum(axis=1)
        self.start, self.end = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.country = homes.copy()
        self._plan(np.arange(size), np.full(size, start_hour))
        # Some are on their way already.
        now = rng.random(size) < (self.end - self.start) / (self._gap + self.end - self.start)
        back = (self.start - start_hour + rng.random(size) * (self.end - self.start)).astype(np.int64) * now
        self.start -= back
        self.end -= back

    def come_home(self, hour: int) -> list[tuple[int, int]]:
        """(account, index of the country) of the journeys that have ended by now; their next ones are planned."""
        back = np.flatnonzero(self.end <= hour)
        found = list(zip(back.tolist(), self.country[back].tolist(), strict=True))
        self._plan(back, self.end[back])
        return found

    def away(self, hours: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """[account, hour]: whether it is abroad then."""
        return (hours >= self.start[:, None]) & (hours < self.end[:, None])

    def _plan(self, who: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> None:
        rng, size = self._rng, len(who)
        days = 2 + np.minimum(rng.gamma(2.0, (shares.JOURNEY_DAYS - 2) / 2, size), 19)
        self.start[who] = after + 1 + rng.exponential(self._gap[who]).astype(np.int64)
        self.end[who] = self.start[who] + (days * 24).astype(np.int64)
        drawn = rng.random(size)[:, None] * self._reach[who, -1:]
        self.country[who] = (self._reach[who] <= drawn).sum(axis=1)
