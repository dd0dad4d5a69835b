"""What is still to come, in the order of simulated time. Whatever is said may be said again."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from loadtest.traffic.labels import Labelled
from loadtest.traffic.shares import REPEATED
from models.messages import PaymentReceived, Presentment, Refund

HOUR_MS: Final = 3_600_000

Act = Callable[[int, Any], Labelled | None]
"""Called with the time it was planned for and its subject; what it returns is said then."""


Said = tuple[int, Labelled]
"""When, and what."""


class Agenda:
    """A heap of acts and messages to come; what is planned for one instant happens in the order of planning.

    `files_twice`: clearing and payment files are sometimes sent a second time hours later. Not for accounts so busy
    that they would have forgotten the first by then.
    """

    def __init__(self, rng: Random, *, files_twice: bool, number: Callable[[], int]) -> None:
        self._rng = rng
        self._files_twice = files_twice
        self._heap: list[tuple[int, int, Act | None, Any]] = []
        self._said: list[Said] = []
        self._until_repeat = self._gap()
        self.number = number
        """Gives a number that was not given before."""

    def plan(self, at: int, act: Act, subject: object = None) -> None:
        """Call `act(at, subject)` at that time."""
        heappush(self._heap, (at, self.number(), act, subject))

    def say(self, at: int, item: Labelled) -> None:
        """Say `item` at that time."""
        heappush(self._heap, (at, self.number(), None, item))

    def run(self, end: int) -> None:
        """Do and say all that is planned before `end`."""
        heap, tell = self._heap, self.tell
        while heap and heap[0][0] < end:
            at, _, act, subject = heappop(heap)
            item = subject if act is None else act(at, subject)
            if item is not None:
                tell(at, item)

    def tell(self, at: int, item: Labelled) -> None:
        """Say `item` now, which is `at`."""
        self._said.append((at, item))
        self._until_repeat -= 1
        if not self._until_repeat:
            self._repeat(at, item)
            self._until_repeat = self._gap()

    def take(self) -> list[Said]:
        """What was said since the last time, in order."""
        said, self._said = self._said, []
        return said

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
