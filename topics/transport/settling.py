"""When a transaction may begin: the broker refuses it until the one before has all its markers.

It answers the end of a transaction as soon as that is noted, and writes the markers after it. Who announces the next
one meanwhile is refused, and learns of it only when its slice is decided: asking again then costs the slice a round
trip, and the broker two requests. How long the markers take is the broker's affair: a fraction of a millisecond, or
several where it is busy. So the wait is learned. It grows where a beginning is refused, and shrinks slowly where one
that waited for it is not: about one beginning in twelve is refused.
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.001
SHORTEST_S: Final = 0.000_2
LONGEST_S: Final = 0.008
"""Beyond, the broker has other troubles, and asking again finds out when they are over."""
_GROWTH: Final = 1.25
_SHRINKING: Final = 0.98
_NEAR: Final = 2.0
"""A beginning that comes later than this many waits after the end says nothing about the wait."""


class Settling:
    """Times are seconds of any one clock that does not go back."""

    def __init__(self) -> None:
        self.wait = FIRST_S  # from the answer to an end until the next beginning
        self._ended: float | None = None
        self._told = True  # how the beginning went

    def left(self, now: float) -> float:
        """How long the next beginning had better wait."""
        return 0.0 if self._ended is None else max(0.0, self._ended + self.wait - now)

    def begun(self, now: float) -> None:
        """The next one is announced."""
        self._told = self._ended is None or now - self._ended > _NEAR * self.wait

    def refused(self) -> None:
        """It was too early. Of what one beginning is told only the first counts."""
        if not self._told:
            self._told = True
            self.wait = min(LONGEST_S, self.wait * _GROWTH)

    def ended(self, now: float) -> None:
        """The broker has noted the end of a transaction, whose beginning was not refused unless we were told."""
        if not self._told:
            self.wait = max(SHORTEST_S, self.wait * _SHRINKING)
        self._ended, self._told = now, True
