"""Requests on their way to the engine and back.

The engine gives one reply to every message, and those of one account in the order in which they came. So requests with
equal keys (a request and its repeat, or a conflicting one) wait in a queue, and a reply is the oldest one's. A request
whose deadline has passed keeps its place: the reply that comes after all is its own, not its repeat's.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from agents.gateway.replies import Key, answers, expected_by
from models.messages import AuthorizationMessage
from topics.iso8583.response import Reply

MAX_ENDED: Final = 100_000
"""Most requests past their deadline whose reply is still expected; beyond it the oldest are forgotten."""


class Caller(Protocol):
    """Where a request came from."""

    def answer(self, response: bytes | None) -> bool:
        """Called once for every frame; None: it is not answered. False: nobody is there to take the answer."""
        ...


class Parcel(Protocol):
    """A message on its way to the engine."""

    def withdraw(self) -> bool:
        """Take it back; False when it may have left."""
        ...


@dataclass(slots=True, eq=False)
class Pending:
    """One request and who waits for its answer."""

    raw: bytes = field(repr=False)  # the answer repeats parts of it; cleared then, for it has the card number
    message: AuthorizationMessage
    caller: Caller
    arrived: float  # seconds on the gateway's clock
    parcel: Parcel
    key: Key
    waits: bool = True  # for its answer


class InFlight:
    """All pending requests of a gateway; `len()` counts those that wait for their answer."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._queues: dict[Key, deque[Pending]] = {}
        self._due: list[tuple[float, int, Pending]] = []
        self._order = itertools.count()
        self._ended: OrderedDict[Pending, None] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, raw: bytes, message: AuthorizationMessage, caller: Caller, arrived: float, parcel: Parcel) -> None:
        pending = Pending(raw, message, caller, arrived, parcel, expected_by(message))
        self._queues.setdefault(pending.key, deque()).append(pending)
        heapq.heappush(self._due, (arrived + self._deadline_s, next(self._order), pending))
        self._waiting += 1

    def awaits(self, key: Key) -> bool:
        """Whether a reply with this key is still expected."""
        return key in self._queues

    def settle(self, key: Key, reply: Reply) -> Pending | None:
        """The request that `reply` answers; None when it answers none of ours. Its reply is no longer expected."""
        queue = self._queues.get(key)
        if not queue or not answers(queue[0].message, reply):
            return None
        pending = queue[0]
        self._forget(pending)
        return pending

    def past_deadline(self, now: float) -> Pending | None:
        """A request whose deadline has come; None when there is none."""
        deadline = self.next_deadline()
        return self._due[0][2] if deadline is not None and deadline <= now else None

    def next_deadline(self) -> float | None:
        """The earliest deadline of those that wait, on the gateway's clock."""
        while self._due and not self._due[0][2].waits:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def waiting_beside(self, pending: Pending) -> list[Pending]:
        """All that wait for an answer under the same key, itself included; oldest first."""
        return [each for each in self._queues.get(pending.key, ()) if each.waits]

    def end(self, pending: Pending) -> bool:
        """Its deadline has come. False when the message never left: no reply will come. Else its reply is expected."""
        if pending.parcel.withdraw():
            self._forget(pending)
            return False
        self._ended[pending] = None
        if len(self._ended) > MAX_ENDED:
            self._forget(next(iter(self._ended)))
        return True

    def answered(self, pending: Pending) -> None:
        """It waits no more."""
        pending.waits, pending.raw = False, b""
        self._waiting -= 1

    def _forget(self, pending: Pending) -> None:
        """Its reply is no longer expected."""
        self._ended.pop(pending, None)
        queue = self._queues[pending.key]
        queue.remove(pending)
        if not queue:
            del self._queues[pending.key]
