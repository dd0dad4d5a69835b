"""The clock of whoever sends the load, which a fault can set wrong.

A wrong clock is wrong for a share of the messages, as if some of the acquirers' clocks were. It stamps the message and
the record alike; the broker puts its own time on the record (topics/declarations.py), and no worker may depend on more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

import orjson

from tests.chaos.campaign.history import MAX_FUTURE_MS
from tests.chaos.campaign.story import Outgoing

SHARE: Final = 0.25

Error = Callable[[Random], int]
"""How wrong it is for one message, in milliseconds; below 0: it is behind."""


class ProducerClock:
    """Right until `set_wrong`. `wrong` and `beyond` count the messages stamped wrong since, and those of them stamped
    further ahead than any worker accepts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random, self._error = Random(), None  # type: Random, Error | None
        self.wrong = self.beyond = 0

    def set_wrong(self, random: Random, error: Error) -> None:
        with self._lock:
            self._random, self._error = random, error
            self.wrong = self.beyond = 0

    def set_right(self) -> None:
        with self._lock:
            self._error = None

    def stamped(self, record: Outgoing) -> Outgoing:
        """The record as this clock has it sent now."""
        with self._lock:
            if self._error is None or record.poison or self._random.random() >= SHARE:
                return record
            error_ms = self._error(self._random)
            self.wrong += 1
            self.beyond += error_ms > MAX_FUTURE_MS
        return wrongly_stamped(record, error_ms, time.time_ns() // 1_000_000)


def wrongly_stamped(record: Outgoing, error_ms: int, now: int) -> Outgoing:
    """The story is told of an hour ago: what is ahead is so of the true time `now`, what is behind of the story's."""
    body = orjson.loads(record.value or b"")
    true = now if error_ms > 0 else body["transmitted_at"]
    value = orjson.dumps(body | {"transmitted_at": true + error_ms})
    return replace(record, value=value, at=now + error_ms, poison=error_ms > MAX_FUTURE_MS)
