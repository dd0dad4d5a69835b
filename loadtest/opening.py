"""Opens the accounts of a run and waits until the engine has applied every one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import orjson

from loadtest import clients
from loadtest.errors import LoadtestError
from loadtest.spool import encode
from models.messages import AccountOpened
from models.outcomes import UpdateOutcome
from topics.cluster import Cluster
from topics.declarations import ACCOUNT_UPDATES

IN_FLIGHT: Final = 5000
"""Openings sent ahead of their answers."""


class NotOpened(LoadtestError):
    """The engine did not open every account; the message says how many and why."""


def open_accounts(
    cluster: Cluster, openings: Iterable[AccountOpened], *, patience: float, on_progress: Callable[[int], None]
) -> int:
    """Send every opening and return how many accounts were opened.

    Raises NotOpened when one is rejected, or when nothing happens for `patience` seconds.
    """
    opener = _Opener(cluster)
    try:
        remaining = iter(openings)
        last_answer = time.monotonic()
        while opener.send_from(remaining):
            answered = opener.take_answers()
            if answered:
                last_answer = time.monotonic()
                on_progress(opener.opened)
            elif time.monotonic() - last_answer > patience:
                raise NotOpened(
                    f"{opener.opened:,} accounts opened, then no answer for {patience:.0f} s: is a worker running?"
                )
        return opener.opened
    finally:
        opener.close()


class _Opener:
    def __init__(self, cluster: Cluster) -> None:
        topic = ACCOUNT_UPDATES.name
        self._producer = clients.producer(cluster)
        self._consumer = clients.low_latency_reader(cluster)
        self._partitions = clients.partitions_of(self._consumer, topic, cluster)
        clients.assign_from(self._consumer, topic, clients.end_offsets(self._consumer, topic, self._partitions))
        self._waiting: set[str] = set()
        self.opened = 0

    def send_from(self, openings: Iterator[AccountOpened]) -> bool:
        """Send as many as may be in flight; False once all are sent and answered."""
        while len(self._waiting) < IN_FLIGHT and (opening := next(openings, None)):
            record = encode(opening, self._partitions)
            self._waiting.add(opening.message_id)
            self._producer.produce(record.topic, record.value, record.key, record.partition)
        self._producer.poll(0)
        return bool(self._waiting)

    def take_answers(self) -> int:
        """Wait a moment for answers and count those to our openings; raises NotOpened for a rejection."""
        before = self.opened
        for message in clients.arrived(self._consumer, 500, 0.05):
            update = orjson.loads(clients.value_of(message))
            if update["message_id"] not in self._waiting:
                continue
            if update["outcome"] != UpdateOutcome.APPLIED:
                raise NotOpened(f"account {update['account_id']} was not opened: {update['outcome']}")
            self._waiting.discard(update["message_id"])
            self.opened += 1
        return self.opened - before

    def close(self) -> None:
        self._consumer.close()
