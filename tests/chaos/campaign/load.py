"""Sends records at a steady rate from a thread; what an outage held back is sent as soon as the broker answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import Producer

from tests.chaos.campaign.clock import ProducerClock
from tests.chaos.campaign.story import Outgoing
from tests.support.traffic import Failed
from topics.declarations import AUTHORIZATIONS

TICK_S: Final = 0.01
FLUSH_S: Final = 180


class Load(threading.Thread):
    """`start`, then `finish`, which raises what went wrong. Counts what the broker has acknowledged. `clock`: what it
    stamps messages with, if not the story's times."""

    def __init__(
        self, bootstrap: str, records: Iterator[Outgoing], rate: int, clock: ProducerClock | None = None
    ) -> None:
        super().__init__(daemon=True, name="load")
        self._records, self._rate, self._clock = records, rate, clock or ProducerClock()
        self._asked: list[float] = []
        self._sender = Producer(
            {
                "bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True,
                "reconnect.backoff.max.ms": 500, "log_level": 0,
            }
        )  # fmt: skip
        self._enough = threading.Event()
        self._error: BaseException | None = None
        self.delivered = 0
        self.poison_delivered = 0

    def run(self) -> None:
        try:
            start, sent = time.monotonic(), 0
            while not self._enough.wait(TICK_S):
                due = int((time.monotonic() - start) * self._rate) + 1
                while sent < due:
                    self._send(self._clock.stamped(next(self._records)))
                    sent += 1
                self._sender.poll(0)
        except BaseException as error:
            self._error = error

    def finish(self) -> None:
        """Stop, and return when every record is with the broker; raises Failed."""
        self._enough.set()
        self.join(FLUSH_S)
        left = self._sender.flush(FLUSH_S)
        if self._error is not None:
            raise Failed(f"the load ended: {self._error!r}") from self._error
        if left or self.is_alive():
            raise Failed(f"{left} records were not taken by the broker within {FLUSH_S} s")

    def forget(self) -> None:
        """When what was asked so far: call before a fault, so that little has to be kept."""
        self._asked = []

    def asked(self, since: float, until: float) -> int:
        """How many messages that want a decision the broker took between two times, in seconds since the epoch."""
        return sum(since < at <= until for at in list(self._asked))

    def _send(self, record: Outgoing) -> None:
        delivered = self._poison_delivered if record.poison else self._delivered
        stamp = {} if record.at is None else {"timestamp": record.at}
        while True:
            try:
                self._sender.produce(
                    record.topic, record.value, record.key, record.partition, on_delivery=delivered, **stamp
                )
            except BufferError:  # the queue is full: the broker is away
                self._sender.poll(0.1)
                if self._enough.is_set():
                    return
            else:
                return

    def _delivered(self, error: Any, record: Any) -> None:
        if error is not None:
            self._error = self._error or Failed(str(error))
            return
        self.delivered += 1
        if record.topic() == AUTHORIZATIONS.name:
            self._asked.append(time.time())

    def _poison_delivered(self, error: Any, _record: Any) -> None:
        if error is not None:
            self._error = self._error or Failed(str(error))
        else:
            self.poison_delivered += 1
