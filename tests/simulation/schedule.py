"""Every choice of a history, out of one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Schedule:
    """Draws, and when `traced` writes down what was drawn. `calm`: nothing goes wrong by chance any more."""

    def __init__(self, seed: int, traced: bool = False) -> None:
        self.seed = seed
        self.calm = False
        self.log: list[str] = []
        self._traced = traced
        self._random = random.Random(seed)

    def choose(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """An integer, both ends possible."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Whether it happens; never in the calm."""
        return not self.calm and self._random.random() < probability

    def happens(self, probability: float) -> bool:
        """As `chance`, but in the calm as well: nothing goes wrong by it."""
        return self._random.random() < probability

    def flip(self) -> bool:
        return self._random.random() < 0.5

    def note(self, *what: object) -> None:
        """A line of the schedule, for people."""
        if self._traced:
            self.log.append(" ".join(map(str, what)))
