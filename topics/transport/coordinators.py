"""Questions to the coordinators of transactions and groups: each is asked until nothing is wrong with the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import aiokafka.errors as kafka_errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.transaction import InitProducerIdRequest

from topics.transport.batches import AWAY_S, CONCURRENT_TRANSACTIONS, PRODUCER_FENCED, RETRY_S
from topics.transport.connections import look_for_leaders
from topics.transport.fencing import MEMBER_FENCED, MemberFenced
from topics.transport.wire import Answer, Identity

log = logging.getLogger(__name__)

BETWEEN_TRANSACTIONS_S: Final = 0.001
"""The markers of the previous commit take about a millisecond; aiokafka waits 20 and doubles the p90."""
_COORDINATOR_MOVED: Final = {7, 15, 16}  # timed out, not available, not coordinator
_RETRIABLE: Final = {3, 14, CONCURRENT_TRANSACTIONS} | _COORDINATOR_MOVED  # unknown partition, loading
_NOT_ATTEMPTED: Final = 55  # because of another partition of the same request

_CONNECTIONS: Final = {
    CoordinationType.TRANSACTION: ConnectionGroup.COORDINATION,
    # That of the batches: a broker serves a connection in order. It verifies offsets and batches with the transaction's
    # coordinator; of two verifications that it begins at once, one is refused, and would be repeated 20 ms later.
    CoordinationType.GROUP: ConnectionGroup.DEFAULT,
}


class Coordinators:
    """Those that one client asks."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client
        self._nodes: dict[tuple[Any, str], int] = {}

    async def become(self, transactional_id: str, timeout_ms: int) -> Identity:
        """The one producer with this id: who was it before is fenced, and what it left open is aborted."""
        kind, request = CoordinationType.TRANSACTION, InitProducerIdRequest(transactional_id, timeout_ms)
        while True:
            answer = await self._answer(kind, transactional_id, request)
            if await self._settled(kind, transactional_id, {transactional_id: answer.error_code}):
                return Identity(transactional_id, answer.producer_id, answer.producer_epoch)

    async def of_transaction(self, transactional_id: str, request: Any) -> None:
        """Raises ProducerFenced when another producer has the id by now."""
        await self._until_settled(CoordinationType.TRANSACTION, transactional_id, request)

    async def of_group(self, group_id: str, request: Any) -> None:
        """Raises MemberFenced when the membership in the request is no longer current, ProducerFenced as above."""
        await self._until_settled(CoordinationType.GROUP, group_id, request)

    async def _until_settled(self, kind: Any, key: str, request: Any) -> None:
        while True:
            answer: Answer = await self._answer(kind, key, request)
            if await self._settled(kind, key, answer.wrong):
                return

    async def _settled(self, kind: Any, key: str, codes: Mapping[Any, int]) -> bool:
        """Whether nothing was wrong; if not, waits until it may be tried again, or raises what is the matter."""
        wrong = set(codes.values()) - {0, _NOT_ATTEMPTED}
        if not wrong:
            return True
        if wrong & PRODUCER_FENCED:
            raise kafka_errors.ProducerFenced
        for code in wrong & MEMBER_FENCED.keys():
            raise MemberFenced(MEMBER_FENCED[code])
        for code in wrong - _RETRIABLE:
            raise kafka_errors.for_code(code)(", ".join(str(what) for what in codes))
        if wrong & _COORDINATOR_MOVED:
            self._nodes.pop((kind, key), None)
        await asyncio.sleep(BETWEEN_TRANSACTIONS_S if wrong == {CONCURRENT_TRANSACTIONS} else RETRY_S)
        return False

    async def _answer(self, kind: Any, key: str, request: Any) -> Any:
        """The answer of a coordinator, which is looked for again when it cannot be reached."""
        while True:
            try:
                node = self._nodes.get((kind, key))
                if node is None:
                    node = self._nodes[kind, key] = await self._client.coordinator_lookup(kind, key)
                return await self._client.send(node, request, group=_CONNECTIONS[kind])
            except kafka_errors.KafkaError as error:
                if not error.retriable:
                    raise
                if not isinstance(error, kafka_errors.GroupCoordinatorNotAvailableError):  # that one is about to be
                    log.warning("the coordinator of %s did not answer: %r", key, error)
                self._nodes.pop((kind, key), None)
                await look_for_leaders(self._client)
                await asyncio.sleep(AWAY_S)
