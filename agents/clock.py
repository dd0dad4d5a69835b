"""Time from outside the domain: the clock on the wall, and the ticks by which it reaches the domain as data."""

from __future__ import annotations

import time
from collections.abc import Iterable

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

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(**self._cluster.aiokafka(), acks=1)
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def tick(self, partitions: Iterable[int]) -> None:
        if self._producer is None:
            return
        value = codec.encode(ClockTick("clock-tick", 1, wall_clock()))
        try:
            for partition in partitions:
                await self._producer.send(CLOCK.name, value, partition=partition)
        except KafkaError:
            return  # the worker's own consumer will notice a broker that is gone
