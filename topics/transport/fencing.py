"""KIP-447 for aiokafka: who may commit the offsets of what was fetched, and stable offset fetches.

A worker that was frozen and lost its partitions still holds a valid producer. What stops it is the group
coordinator, and only if the offsets of its transaction name the member id and generation of the *fetch*:
read `membership` when the records leave the fetcher, because a coordinator task may rejoin behind our back and the
new generation would vouch for the old records.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, NamedTuple

import aiokafka.errors as kafka_errors
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.commit import OffsetFetchRequest

from topics.transport.inheritance import heartbeat, transactions_at
from topics.transport.protocol import StableOffsetFetch

log = logging.getLogger(__name__)

NOBODYS_S: Final = 5.0
"""For how long offsets must have been unstable without a transaction that is the reason"""
ASK_AGAIN_S: Final = 0.1
MEMBER_FENCED: Final = {
    22: "illegal generation",
    25: "unknown member id",
    27: "rebalance in progress",
    82: "fenced instance id",
}
"""Error codes with which a coordinator refuses a member."""
UNFINISHED: Final = ("Ongoing", "PrepareCommit", "PrepareAbort")


class MemberFenced(kafka_errors.KafkaError):  # type: ignore[misc]
    """The group coordinator refused our member id or generation: abort; after the rejoin the records come again."""


class Membership(NamedTuple):
    """The place in the consumer group that records were fetched under."""

    generation: int
    member_id: str
    instance_id: str | None


def membership(consumer: AIOKafkaConsumer) -> Membership:
    """As the consumer's coordinator holds it now; no `await` may lie between the fetch and this call."""
    coordinator = consumer._coordinator
    return Membership(coordinator.generation, coordinator.member_id, coordinator._group_instance_id)


async def counts(consumer: AIOKafkaConsumer, member: Membership) -> bool:
    """Whether the group counts this member in this generation; asks until its coordinator tells."""
    coordinator = consumer._coordinator
    while True:
        try:
            code = await heartbeat(coordinator, member.generation, member.member_id)
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise
        else:
            if code == 0 or code in MEMBER_FENCED:
                return code == 0
        await asyncio.sleep(ASK_AGAIN_S)


def require_stable_offsets(consumer: AIOKafkaConsumer) -> None:
    """From now on committed offsets are fetched stable. Call between `start` and `subscribe`."""
    consumer._coordinator.__class__ = _StableCoordinator  # adds methods, and an attribute with a default


class _StableCoordinator(GroupCoordinator):  # type: ignore[misc]
    """Waits for transactions that may still move the offsets, not for those that only the group's coordinator believes
    in. Kafka 4.3.1's does after a restart during which it began to load its offsets twice: the first load's end makes
    the second's state active while that is still empty, and markers that arrive then are lost (its CoordinatorRuntime
    compares no epochs). It then calls the offsets unstable until it is loaded anew, which may be never."""

    _nobodys_since: float | None = None

    async def _send_req(self, request: Any) -> Any:
        if not isinstance(request, OffsetFetchRequest):
            return await super()._send_req(request)
        answer = await super()._send_req(StableOffsetFetch(request._consumer_group, request._partitions))
        if answer.is_stable or await self._unfinished():
            self._nobodys_since = None
            return answer
        self._nobodys_since = self._nobodys_since or time.monotonic()
        if time.monotonic() - self._nobodys_since < NOBODYS_S:
            return answer
        log.warning(
            "group %s: its coordinator waits for transactions that do not exist: its offsets are taken as they are",
            self.group_id,
        )
        return await super()._send_req(request)

    async def _unfinished(self) -> bool:
        """Whether a transaction of this group's workers is open, or its markers are still written, or a broker does not
        tell."""
        try:
            for broker in self._client.cluster.brokers():
                if await transactions_at(self._client, broker.nodeId, self.group_id, *UNFINISHED):
                    return True
        except kafka_errors.KafkaError:
            return True
        return False
