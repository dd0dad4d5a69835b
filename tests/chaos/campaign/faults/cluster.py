"""One of several brokers is killed, paused, or has to give its coordinators away. The others go on.

Every message must be decided while the broker is still away: recovery is counted from the fault, not from its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from deploy.embedded.kafka import Broker
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held
from tests.chaos.campaign.faults.servers import paused, start_again
from tests.chaos.campaign.history import APP_ID
from tests.chaos.campaign.world import FIRST_WORKER, World
from tests.support.traffic import PARTITIONS
from topics.admin import changelog

AWAY_S: Final = (2.0, 16.0)
"""The controller takes 9 s (broker.session.timeout.ms) to give up on a broker that says nothing: shorter and longer."""
SETTLED_S: Final = 1.0
"""What was in flight when the broker went is over: a decision made later has got round it, or had no need to."""
STOP_S: Final = 60.0
COORDINATOR_PARTITIONS: Final = 4
"""Of __consumer_offsets and __transaction_state, as deploy/embedded/kafka.py sets them."""

Choice = Callable[[World, Random], Broker]


def operator(world: World) -> AdminClient:
    return AdminClient({"bootstrap.servers": world.kafka, "log_level": 0})


def described(admin: AdminClient, topic: str, partition: int) -> Any:
    """A partition as the cluster describes it: leader, replicas, and those of them that are in sync (`isrs`)."""
    return admin.list_topics(topic, 10).topics[topic].partitions[partition]


def leader(world: World, topic: str, partition: int) -> Broker:
    """The broker that leads a partition; raises AssertionError when nobody does."""
    number = described(operator(world), topic, partition).leader
    found = [broker for broker in world.brokers if broker.node.number == number]
    assert found, f"nobody leads {topic} {partition}"
    return found[0]


def coordinator_partition(name: str) -> int:
    """Where Kafka keeps a group or a transactional id: by the absolute value of Java's hash of an ASCII string."""
    number = 0
    for byte in name.encode("ascii"):
        number = (31 * number + byte) & 0xFFFFFFFF
    signed = number - 2**32 if number >= 2**31 else number
    return (0 if signed == -(2**31) else abs(signed)) % COORDINATOR_PARTITIONS


def of_the_changelog(world: World, random: Random) -> Broker:
    """The leader of one of the changelog's partitions: there is always something that has to move."""
    return leader(world, changelog(APP_ID).name, random.randrange(PARTITIONS))


def of_the_group(world: World, _random: Random) -> Broker:
    """The coordinator of the workers' group."""
    return leader(world, "__consumer_offsets", coordinator_partition(APP_ID))


def of_the_transactions(world: World, _random: Random) -> Broker:
    """The coordinator of the worker's transactions."""
    return leader(world, "__transaction_state", coordinator_partition(f"{APP_ID}-{FIRST_WORKER}"))


@dataclass(frozen=True)
class _ToOne:
    """What a fault to one broker, which `choice` finds, says of itself."""

    name: str
    what: str
    choice: Choice
    proof: Proof = "decisions"
    lasts_s: float = 24.0


@dataclass(frozen=True)
class OneKilled(_ToOne):
    """SIGKILL; the broker is started again on the same data after some seconds."""

    lasts_s: float = 28.0

    def strike(self, world: World, random: Random) -> Damage:
        broker = self.choice(world, random)
        assert broker.process is not None
        at = time.time()
        broker.process.kill()
        broker.process.wait()
        held_s = held(world, random.uniform(*AWAY_S))
        start_again(broker)
        return Damage(at, at + SETTLED_S, held_s, f"node {broker.node.number}")


@dataclass(frozen=True)
class OnePaused(_ToOne):
    """SIGSTOP, and SIGCONT after some seconds: it still believes that it leads."""

    def strike(self, world: World, random: Random) -> Damage:
        broker = self.choice(world, random)
        damage = paused(world, broker, random.uniform(*AWAY_S))
        return Damage(damage.at, damage.at + SETTLED_S, damage.held_s, f"node {broker.node.number}")


@dataclass(frozen=True)
class Moved(_ToOne):
    """SIGTERM: a broker that shuts down hands what it leads and coordinates to others, and is started again."""

    def strike(self, world: World, random: Random) -> Damage:
        broker, at = self.choice(world, random), time.time()
        broker.stop(STOP_S)
        moved_to = self.choice(world, random)
        assert moved_to is not broker, f"node {broker.node.number} still coordinates"
        held_s = held(world, random.uniform(2.0, 5.0))
        start_again(broker)
        return Damage(at, at + SETTLED_S, held_s, f"from node {broker.node.number} to {moved_to.node.number}")


FAULTS: Final[list[Fault]] = [
    OneKilled(
        "one-broker-killed", "SIGKILL of one of three brokers; it is started again 2 to 16 s later", of_the_changelog
    ),
    OnePaused("one-broker-paused", "SIGSTOP of one of three brokers for 2 to 16 s, then SIGCONT", of_the_changelog),
    Moved(
        "group-coordinator-moved",
        "the broker that coordinates the workers' group is shut down in order; another coordinates on",
        of_the_group,
    ),
    Moved(
        "transaction-coordinator-moved",
        "the broker that coordinates the worker's transactions is shut down in order; another coordinates on",
        of_the_transactions,
    ),
    OneKilled(
        "group-coordinator-killed",
        "SIGKILL of the broker that coordinates the workers' group; it is started again 2 to 16 s later",
        of_the_group,
    ),
    OneKilled(
        "transaction-coordinator-killed",
        "SIGKILL of the broker that coordinates the worker's transactions; it is started again 2 to 16 s later",
        of_the_transactions,
    ),
]
