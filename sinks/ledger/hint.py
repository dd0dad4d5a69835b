"""Tells the consumer group how far the ledger is, for the eyes of monitoring tools; where to read is decided by the
ledger's own offsets. So nothing waits for it, and its failures are only noted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
LAST_S: Final = 2.0
"""How long the last word may take."""

Offsets = Mapping[TopicPartition, int]


class GroupHint:
    """One word at a time, at most one a second. A word that is cut off leaves a task of aiokafka's behind, which would
    later tell the log of an exception that nobody fetched."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._telling: asyncio.Task[None] | None = None
        self._told_at = time.monotonic()

    def tell(self, offsets: Offsets) -> None:
        """Unless it is too soon, or the group has not heard the last word yet: then it will hear the next one."""
        now = time.monotonic()
        if offsets and self._is_silent() and now - self._told_at > INTERVAL_S:
            self._told_at = now
            self._telling = asyncio.create_task(self._tell(offsets))

    async def last_word(self, offsets: Offsets) -> None:
        """The reader goes: waits for it, but not for long."""
        if offsets and self._is_silent():
            self._telling = asyncio.create_task(self._tell(offsets))
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=LAST_S)

    def close(self) -> None:
        """The consumer is about to stop."""
        if self._telling is not None:
            self._telling.cancel()

    def _is_silent(self) -> bool:
        return self._telling is None or self._telling.done()

    async def _tell(self, offsets: Offsets) -> None:
        try:
            await self._consumer.commit(dict(offsets))
        except KafkaError as error:
            log.info("group offset not committed: %r", error)
