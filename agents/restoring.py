"""Says how far a restore is: a worker that reads a long changelog looks otherwise like one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

RESTORING: Final = "restoring:"
"""So begins a line about how far a restore is."""
QUIET_S: Final = 5.0
"""A restore that is over by then is not worth a word."""
EVERY_S: Final = 10.0


class RestoreProgress:
    """Lines for people about one restore after the other."""

    def __init__(self, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._say = say
        self._clock = clock
        self._total = 0
        self._began = self._next_word = 0.0
        self._spoke = False

    def look(self, left: int) -> None:
        """So many of the changelog's offsets are left to read; 0: it is restored. To be called again and again."""
        now = self._clock()
        if not self._total:
            self._begin(left, now)
        elif not left:
            self._end(now)
        elif now >= self._next_word:
            self._total = max(self._total, left)
            self._tell(left, now)

    def _begin(self, left: int, now: float) -> None:
        self._total, self._began, self._next_word, self._spoke = left, now, now + QUIET_S, False

    def _tell(self, left: int, now: float) -> None:
        done = self._total - left
        rest = f", {(now - self._began) / done * left:,.0f} s to go" if done else ""
        self._say(f"{RESTORING} {done / self._total:.0%} of {self._total:,} changelog offsets{rest}")
        self._spoke, self._next_word = True, now + EVERY_S

    def _end(self, now: float) -> None:
        if self._spoke:
            self._say(f"restored {self._total:,} changelog offsets in {now - self._began:.0f} s")
        self._total = 0
