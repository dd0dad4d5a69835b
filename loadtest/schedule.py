"""When each request is due, whatever the system under test does: the open loop, without a clock of its own.

A closed loop waits for an answer before it asks again, and so hides every stall from its own statistics. Here the k-th
request is due at start + k / rate, and its latency counts from that instant even when it could only be sent later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """`warmup` requests that are not measured, then `requests` that are, evenly spaced at `rate` per second."""

    rate: float
    requests: int
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.requests < 1 or self.warmup < 0:
            raise ValueError("a schedule needs a positive rate, at least one request and no negative warm-up")

    @classmethod
    def lasting(cls, rate: float, seconds: float, warmup_seconds: float = 0) -> Schedule:
        """`rate` per second for `seconds`, after `warmup_seconds` at the same rate."""
        return cls(rate, max(1, round(rate * seconds)), round(rate * warmup_seconds))

    @property
    def total(self) -> int:
        """Requests to send, warm-up included."""
        return self.warmup + self.requests

    def due_ns(self, k: int) -> int:
        """Nanoseconds from the start at which request `k` (from 0) is due."""
        return round(k * SECOND_NS / self.rate)

    def due_by(self, elapsed_ns: int) -> int:
        """How many requests are due once `elapsed_ns` have passed."""
        if elapsed_ns < 0:
            return 0
        return min(self.total, int(elapsed_ns * self.rate / SECOND_NS) + 1)

    @property
    def measured_from_ns(self) -> int:
        """End of the warm-up, in nanoseconds from the start."""
        return self.due_ns(self.warmup)

    @property
    def length_ns(self) -> int:
        """End of the sending period, in nanoseconds from the start: one interval after the last request."""
        return self.due_ns(self.total)


class Timetable(Protocol):
    """What `drive` and those who time its requests have to know: a `Schedule`, or one of another shape."""

    @property
    def total(self) -> int:
        """Requests to send, warm-up included."""

    @property
    def warmup(self) -> int:
        """How many of them, the first ones, are not measured."""

    def due_ns(self, k: int) -> int:
        """Nanoseconds from the start at which request `k` (from 0) is due."""

    def due_by(self, elapsed_ns: int) -> int:
        """How many requests are due once `elapsed_ns` have passed."""

    @property
    def measured_from_ns(self) -> int:
        """End of the warm-up, in nanoseconds from the start."""

    @property
    def length_ns(self) -> int:
        """End of the sending period, in nanoseconds from the start."""


class Clock(Protocol):
    """Time since the start as the sender sees it; tests bring their own."""

    def elapsed_ns(self) -> int:
        """Monotonic nanoseconds since the start of the schedule."""

    def sleep_ns(self, duration_ns: int) -> None:
        """Return after about `duration_ns`."""


def drive(schedule: Timetable, send: Callable[[int], bool], clock: Clock, *, grace_ns: int, pause_ns: int) -> int:
    """Send every request when it is due (late rather than never) and return how many were sent.

    `send(k)` returns False when there is no room for request k at the moment; it is asked again after `pause_ns`.
    Whatever is still waiting `grace_ns` after the sending period is given up: the caller reports it as unsent.
    """
    sent = 0
    while sent < schedule.total:
        elapsed_ns = clock.elapsed_ns()
        if elapsed_ns >= schedule.length_ns + grace_ns:
            break
        due = schedule.due_by(elapsed_ns)
        while sent < due and send(sent):
            sent += 1
        blocked = sent < due
        until_due_ns = schedule.due_ns(sent) - clock.elapsed_ns()
        clock.sleep_ns(pause_ns if blocked else max(pause_ns, until_due_ns))
    return sent
