"""Partitions are given to other brokers under load, as an operator does before one is taken out of service.

There are as many replicas as brokers, so the leader's broker is first taken off a partition's list (which moves the
leader to another and deletes the replica), then put back as the first (which copies the whole partition and, by an
election of the preferred leader, moves the leader there again).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.campaign.faults.cluster import coordinator_partition, described, operator
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held, until
from tests.chaos.campaign.history import APP_ID
from tests.chaos.campaign.world import FIRST_WORKER, World
from tests.support.traffic import PARTITIONS
from topics.admin import changelog
from topics.declarations import AUTHORIZATION_DECISIONS, AUTHORIZATIONS, JOURNAL_ENTRIES

AWAY_S: Final = (2.0, 5.0)
PATIENCE_S: Final = 60.0
NO_TAGS: Final[dict[int, bytes]] = {}

Place = tuple[str, int]
"""A topic and a partition of it."""
Replicas = dict[Place, list[int]]
"""The numbers of the brokers that have a replica, the preferred leader first."""


def reassign(bootstrap: str, wanted: Mapping[Place, list[int]]) -> None:
    """Ask the controller for these replicas; it takes its time. Raises AssertionError when it refuses."""
    asyncio.run(_reassign(bootstrap, wanted))


async def _reassign(bootstrap: str, wanted: Mapping[Place, list[int]]) -> None:
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        request = AlterPartitionReassignmentsRequest(int(PATIENCE_S * 1000), _by_topic(wanted), NO_TAGS)
        answer = await client.send(client.get_random_node(), request)
    finally:
        await client.close()
    refused = [
        f"{topic} {partition}: {why or code}"
        for topic, partitions, _tags in answer.responses
        for partition, code, why, _tags_too in partitions
        if code
    ]
    assert not answer.error_code, f"reassignment: {answer.error_code} {answer.error_message}"
    assert not refused, f"reassignment refused: {', '.join(refused)}"


def _by_topic(wanted: Mapping[Place, list[int]]) -> list[tuple[str, list[Any], Any]]:
    """As the request has it; no topic may be named twice."""
    found: dict[str, list[Any]] = {}
    for (topic, partition), replicas in wanted.items():
        found.setdefault(topic, []).append((partition, replicas, NO_TAGS))
    return [(topic, partitions, NO_TAGS) for topic, partitions in found.items()]


def of_the_data(_world: World, random: Random) -> list[Place]:
    """What a worker reads and writes: a partition of the input, and two of the changelog and of its output."""
    first, second = random.sample(range(PARTITIONS), 2)
    topics = changelog(APP_ID).name, AUTHORIZATION_DECISIONS.name, JOURNAL_ENTRIES.name
    return [(AUTHORIZATIONS.name, first), *((topic, p) for topic in topics for p in (first, second))]


def of_the_coordinators(_world: World, _random: Random) -> list[Place]:
    """Where the workers' group and the worker's transactions are kept."""
    return [
        ("__consumer_offsets", coordinator_partition(APP_ID)),
        ("__transaction_state", coordinator_partition(f"{APP_ID}-{FIRST_WORKER}")),
    ]


@dataclass(frozen=True)
class Reassigned:
    """Away from their leaders and back to them."""

    name: str
    what: str
    choice: Callable[[World, Random], list[Place]]
    proof: Proof = "decisions"
    lasts_s: float = 12.0

    def strike(self, world: World, random: Random) -> Damage:
        places = self.choice(world, random)
        admin = operator(world)
        before = {place: described(admin, *place) for place in places}
        leaders = {place: partition.leader for place, partition in before.items()}
        at, begun = time.time(), time.monotonic()
        without = {place: [n for n in before[place].replicas if n != leaders[place]] for place in places}
        _move(world, admin, without)
        moved = _leaders(admin, places)
        assert all(moved[place] != leaders[place] for place in places), f"leaders stayed: {leaders}, {moved}"
        held(world, random.uniform(*AWAY_S))
        _move(world, admin, {place: [leaders[place], *without[place]] for place in places})
        admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(*place) for place in places]).result(PATIENCE_S)
        _until(world, lambda: _leaders(admin, places) == leaders, "leaders")
        took_s = time.monotonic() - begun
        note = "; ".join(f"{topic} {p}: {leaders[topic, p]} to {moved[topic, p]} and back" for topic, p in places)
        return Damage(at, at + took_s, took_s, note)


def _move(world: World, admin: AdminClient, wanted: Replicas) -> None:
    """Returns when every partition has the replicas that are wanted, all in sync."""
    reassign(world.kafka, wanted)
    _until(world, lambda: all(_has(described(admin, *place), each) for place, each in wanted.items()), "replicas")


def _has(partition: Any, replicas: list[int]) -> bool:
    return list(partition.replicas) == replicas and sorted(partition.isrs) == sorted(replicas)


def _leaders(admin: AdminClient, places: list[Place]) -> dict[Place, int]:
    return {place: described(admin, *place).leader for place in places}


def _until(world: World, done: Callable[[], bool], what: str) -> None:
    until(world, PATIENCE_S, done, f"{what} were not as wanted after {PATIENCE_S:.0f} s")


FAULTS: Final[list[Fault]] = [
    Reassigned(
        "data-reassigned",
        "seven partitions of the input, the changelog and the output lose the replica that leads, and get it back: it "
        "is copied anew, and leads again by a preferred election",
        of_the_data,
    ),
    Reassigned(
        "coordinators-reassigned",
        "the same with the partitions of __consumer_offsets and __transaction_state that coordinate the workers",
        of_the_coordinators,
    ),
]
