"""KIP-447 for aiokafka: who may commit the offsets of what was fetched, and stable offset fetches.

A worker that was frozen and lost its partitions still holds a valid producer. What stops it is the group
coordinator, and only if the offsets of its transaction name the member id and generation of the *fetch*:
read `membership` when the records leave the fetcher, because a coordinator task may rejoin behind our back and the
new generation would vouch for the old records.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiokafka.errors as kafka_errors
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.commit import OffsetFetchRequest

from topics.transport.protocol import StableOffsetFetch


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


def require_stable_offsets(consumer: AIOKafkaConsumer) -> None:
    """From now on committed offsets are fetched stable. Call between `start` and `subscribe`."""
    consumer._coordinator.__class__ = _StableCoordinator  # adds a method, no state


class _StableCoordinator(GroupCoordinator):  # type: ignore[misc]
    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, OffsetFetchRequest):
            request = StableOffsetFetch(request._consumer_group, request._partitions)
        return await super()._send_req(request)
