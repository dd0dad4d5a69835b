"""What is still to come, in the order of simulated time. Whatever is said may be said again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final

from loadtest.traffic.labels import Labelled
from loadtest.traffic.shares import REPEATED
from models.messages import PaymentReceived, Presentment, Refund

HOUR_MS: Final = 3_600_000

Act = Callable[[int, Any], Labelled | None]
"""Called with the time it was planned for and its subject; what it returns is said then."""


class Agenda:
    """A heap of acts and messages to come; what is planned for one instant happens in the order of planning.

    `files_twice`: clearing and payment files are sometimes sent a second time hours later. Not for accounts so busy
    that they would have forgotten the first by then.
    """

    def __init__(self, rng: Random, *, files_twice: bool) -> None:
        self._rng = rng
        self._files_twice = files_twice
        self._heap: list[tuple[int, int, Act | None, Any]] = []
        self.number: Callable[[], int] = count(1).__next__
        """Gives a number that was not given before."""

    def plan(self, at: int, act: Act, subject: object = None) -> None:
        """Call `act(at, subject)` at that time."""
        heappush(self._heap, (at, self.number(), act, subject))

    def say(self, at: int, item: Labelled) -> None:
        """Say `item` at that time."""
        heappush(self._heap, (at, self.number(), None, item))

    def play(self) -> Iterator[Labelled]:
        """What is said, for as long as something is planned."""
        heap, until_repeat = self._heap, self._gap()
        while heap:
            at, _, act, subject = heappop(heap)
            item = subject if act is None else act(at, subject)
            if item is None:
                continue
            yield item
            until_repeat -= 1
            if not until_repeat:
                self._repeat(at, item)
                until_repeat = self._gap()

    def _gap(self) -> int:
        """Messages up to the next one that is repeated."""
        return 1 + int(self._rng.expovariate(REPEATED))

    def _repeat(self, at: int, item: Labelled) -> None:
        """The network repeats within seconds; a file may come twice within a day or so."""
        rng, delay = self._rng, self._rng.randint(1_000, 5_000)
        is_filed = isinstance(item.message, Presentment | Refund | PaymentReceived)
        if is_filed and self._files_twice and rng.random() < 0.5:
            delay = int(rng.uniform(2, 30) * HOUR_MS)
        self.say(at + delay, item._replace(retry=True))
