"""A new owner ends what a dead one left open, as `kafka-transactions --abort` would, but by the front door (KIP-664 to
find it, the initialisation of the dead one's producer to end it).

A worker that dies inside a transaction leaves it open until its timeout, and the broker looks for those every 10 s: up
to 20 s in which neither the changelog's end nor the committed offsets can be known. Whoever holds the partitions in the
current generation of the group may end it at once: members that are alive have finished theirs before they rejoined, so
an open transaction on these partitions belongs to a worker that is dead or frozen, and fenced from the group already.
A frozen one learns on waking that its producer is fenced as well, and ends. One that is started again at this moment
takes the dead one's name: its producer has another epoch, and is left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.group import HeartbeatRequest

from topics.transport.protocol import DescribeTransaction, FenceProducer, ListTransactions

CONCURRENT_TRANSACTIONS: Final = 51
MARKERS_TRIES: Final = 100
MARKERS_WAIT_S: Final = 0.02
ANY_TIMEOUT_MS: Final = 10_000
"""For the producer that is initialised; it never begins a transaction."""

log = logging.getLogger(__name__)


class _Producer(NamedTuple):
    producer_id: int
    epoch: int


async def end_what_the_dead_left_open(consumer: AIOKafkaConsumer, partitions: Set[TopicPartition]) -> list[str]:
    """Abort every transaction of this group's other workers that has one of `partitions`; the transactional ids.
    Whatever cannot be found out is left to the transaction's timeout.
    """
    coordinator, client = consumer._coordinator, consumer._client
    own = f"{coordinator.group_id}-{coordinator._group_instance_id}"
    ended = []
    try:
        for transactional_id in await _ongoing(client, coordinator.group_id):
            producer = None if transactional_id == own else await _writer_to(client, transactional_id, partitions)
            if producer is None:
                continue
            if not await _is_current(coordinator):
                break
            await _end(client, transactional_id, producer)
            log.warning("aborted the transaction that %s had left open", transactional_id)
            ended.append(transactional_id)
    except IncompatibleBrokerVersion:
        log.warning("the broker lists no transactions: what a dead worker left open is waited for")
    except KafkaError as error:
        log.warning("what a dead worker left open is waited for: %r", error)
    return ended


async def transactions_at(client: Any, node: int, group_id: str, *states: str) -> list[str]:
    """Transactional ids (GROUP-INSTANCE) of the group's workers with a transaction in one of these states that this
    broker coordinates; raises KafkaError if it does not tell."""
    answer = await client.send(node, ListTransactions(*states))
    if answer.error_code:
        raise for_code(answer.error_code)
    return [name for name, *_facts in answer.transaction_states if name.startswith(f"{group_id}-")]


async def _ongoing(client: Any, group_id: str) -> list[str]:
    found = []
    for broker in client.cluster.brokers():
        try:
            found += await transactions_at(client, broker.nodeId, group_id, "Ongoing")
        except IncompatibleBrokerVersion:
            raise
        except KafkaError:  # it is away; others coordinate what it did
            continue
    return found


async def _writer_to(client: Any, transactional_id: str, partitions: Set[TopicPartition]) -> _Producer | None:
    """Who has a transaction open on one of `partitions` under this name."""
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    answer = await client.send(node, DescribeTransaction(transactional_id))
    for *_facts, producer_id, epoch, topics, _tags in answer.transaction_states:
        if any(TopicPartition(topic, each) in partitions for topic, numbers, _t in topics for each in numbers):
            return _Producer(producer_id, epoch)
    return None


async def _is_current(coordinator: Any) -> bool:
    """Whether the group still counts us in this generation; one that was frozen since must end nobody's work."""
    return await heartbeat(coordinator, coordinator.generation, coordinator.member_id) == 0


async def heartbeat(coordinator: Any, generation: int, member_id: str) -> int:
    """The error code with which the group answers this member; 0: it counts it."""
    answer = await coordinator._send_req(HeartbeatRequest(coordinator.group_id, generation, member_id))
    return int(answer.error_code)


async def _end(client: Any, transactional_id: str, producer: _Producer) -> None:
    """Until the abort's markers are written. Then the broker says that the producer has changed, as it does when the
    name was taken over first: there is nothing left to end."""
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    for _ in range(MARKERS_TRIES):
        answer = await client.send(node, FenceProducer(transactional_id, ANY_TIMEOUT_MS, *producer))
        if answer.error_code != CONCURRENT_TRANSACTIONS:
            return
        await asyncio.sleep(MARKERS_WAIT_S)
