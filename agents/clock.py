"""Time from outside the domain: the clock on the wall, and the ticks by which it reaches the domain as data.

A tick is input like any other, which comes every second: one that the broker has taken and the worker does not decide
shows that the worker stands still (agents/watchdog.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.messages import ClockTick
from topics import codec
from topics.cluster import Cluster
from topics.declarations import CLOCK


def wall_clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class ClockTicker:
    """Produces one tick per partition; a lost tick does no harm, the next one says more."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._producer: AIOKafkaProducer | None = None
        self.taken: dict[int, int] = {}  # partition -> offset of the last tick that the broker has

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(**self._cluster.aiokafka(), acks=1)
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def tick(self, partitions: Collection[int]) -> None:
        """One tick for each of the partitions that this worker owns."""
        if self._producer is None:
            return
        for lost in self.taken.keys() - partitions:
            del self.taken[lost]
        value = codec.encode(ClockTick("clock-tick", 1, wall_clock()))
        try:
            for partition in partitions:
                sent = await self._producer.send(CLOCK.name, value, partition=partition)
                sent.add_done_callback(self._note)
        except KafkaError:
            return  # the worker's own consumer will notice a broker that is gone

    def _note(self, sent: asyncio.Future[Any]) -> None:
        if not sent.cancelled() and sent.exception() is None:
            self.taken[sent.result().partition] = sent.result().offset
