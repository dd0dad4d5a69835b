"""Creates the topics, and refuses to work with ones that have another number of partitions.

Accounts are spread by `murmur2(account id) % partitions`: with another count, or with counts that differ between
topics, an account's messages would not meet its row. Kafka lets anyone add partitions at any time, so the count is
asked for again while a process runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from topics.cluster import Cluster
from topics.declarations import ALL, TopicSpec
from topics.transport.protocol import DescribeTopicIds

log = logging.getLogger(__name__)

LEADER_WAIT_S: Final = 0.1
LEADER_PATIENCE_S: Final = 10.0
SAID_AFTER_S: Final = 2.0
"""Topics that have just been created get their leaders sooner; there is no need to speak of it."""
CHECK_INTERVAL_S: Final = 5.0
SEGMENT: Final = "segment.bytes"


class TopicMismatch(RuntimeError):
    """A topic is not what it must be; the message is one line for the operator."""


class PartitionMismatch(TopicMismatch):
    """A topic has another partition count than it must have."""


class NoLeader(TopicMismatch):
    """A topic has partitions that no broker leads: the brokers that have them are away."""


class RetentionMismatch(TopicMismatch):
    """A topic would lose records that nothing else holds."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a worker stands on. `topic_ids`: of 16 bytes, by name; a topic that is deleted and made anew has another."""

    cluster_id: str
    topic_ids: Mapping[str, bytes]


def changelog(app_id: str) -> TopicSpec:
    """The accounts table's changelog: the latest row of every account, kept for ever. Its segments are small. Only
    closed ones are compacted: a cold restore reads the open one whole, which at Kafka's 1 GiB took minutes. And each is
    forced to the disk when it is closed and when it is compacted, which requests have to wait for."""
    return TopicSpec(
        f"{app_id}-accounts-changelog",
        {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.3",
            SEGMENT: str(8 * 1024 * 1024),
            # Room for an entry of 12 bytes for every 4 KiB, twice over. A broker makes index files at their full size
            # and maps them: with Kafka's own 10 MiB, writing to a new one may first read as much from the disk.
            "segment.index.bytes": str(64 * 1024),
            "segment.ms": "3600000",
            "max.message.bytes": "1048576",
        },
    )


def require_partitions(counts: Mapping[str, int], app_id: str, partitions: int) -> None:
    """Raise PartitionMismatch unless every topic of ours in `counts` (name -> partitions) has `partitions`; one that
    does not exist yet is none of the cluster's mistakes."""
    found = {name: counts[name] for name in _names(app_id) if counts.get(name)}
    wrong = {name: count for name, count in found.items() if count != partitions}
    if not wrong:
        return
    if len(set(found.values())) == 1:
        said = f"the topics have {next(iter(wrong.values()))} partitions, OTB_PARTITIONS says {partitions}"
    else:
        listed = ", ".join(f"{name} has {count}" for name, count in wrong.items())
        said = f"topics have other partition counts than OTB_PARTITIONS={partitions}: {listed}"
    raise PartitionMismatch(f"{said}; accounts would lose their rows (docs/runbook.md, PartitionsChanged)")


class PartitionCheck:
    """Asks the cluster over one connection, made on first use. Whoever asks may be cancelled: the connection is made
    all the same, since aiokafka leaves one open when it is interrupted at that."""

    def __init__(self, cluster: Cluster, app_id: str, partitions: int) -> None:
        self._app_id = app_id
        self._partitions = partitions
        self._cluster = cluster
        self._starting: asyncio.Task[AIOKafkaAdminClient] | None = None

    async def now(self) -> None:
        """Raises PartitionMismatch; KafkaError, OSError or TimeoutError when the cluster does not answer."""
        if self._starting is None or _failed(self._starting):
            self._starting = asyncio.create_task(_started(self._cluster))
        admin = await asyncio.shield(self._starting)
        topics = await admin.describe_topics(_names(self._app_id))
        require_partitions(_counts(topics), self._app_id, self._partitions)

    async def patiently(self, seconds: float) -> None:
        """The same, but a cluster that is away is asked again for so long."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return await self.now()
            except (KafkaError, OSError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(LEADER_WAIT_S)

    async def if_it_answers(self) -> None:
        """The same; a cluster that is away is asked another time."""
        with suppress(KafkaError, OSError, TimeoutError):
            await self.now()

    async def forever(self) -> NoReturn:
        """Again and again, until PartitionMismatch."""
        while True:
            await self.if_it_answers()
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def stop(self, grace_s: float = 2.0) -> None:
        """Closes the connection; a cluster that does not answer is waited for no longer than `grace_s`."""
        if self._starting is None:
            return
        starting, self._starting = self._starting, None
        await asyncio.wait({starting}, timeout=grace_s)
        starting.cancel()
        await asyncio.wait({starting})
        if not _failed(starting):
            await starting.result().close()


async def _started(cluster: Cluster) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**cluster.aiokafka())
    await admin.start()
    return admin


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _names(app_id: str) -> list[str]:
    return [spec.name for spec in (*ALL, changelog(app_id))]


def _counts(topics: list[dict[str, Any]]) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in topics}


async def ensure_topics(
    cluster: Cluster,
    app_id: str,
    partitions: int,
    replication: int,
    *,
    patience_s: float = LEADER_PATIENCE_S,
    on_wait: Callable[[str], object] = log.warning,
) -> Ground:
    """Create what is missing; what there is. Raises PartitionMismatch, and has created nothing then;
    RetentionMismatch when the journal would expire or the changelog would not be compacted; NoLeader after
    `patience_s`, of which `on_wait` is told in a line."""
    specs = [*ALL, changelog(app_id)]
    admin = await _started(cluster)
    try:
        require_partitions(_counts(await admin.describe_topics(_names(app_id))), app_id, partitions)
        wanted = [NewTopic(spec.name, partitions, replication, topic_configs=dict(spec.config)) for spec in specs]
        response = await admin.create_topics(wanted)
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {rest[0] if rest else ''}")
        # Somebody else may have created them meanwhile, with another count.
        require_partitions(_counts(await _described(admin, _names(app_id), patience_s, on_wait)), app_id, partitions)
        await _require_kept(admin, specs)
        cluster_id: str = (await admin.describe_cluster())["cluster_id"]
        return Ground(cluster_id, await _topic_ids(admin, [spec.name for spec in specs]))
    finally:
        await admin.close()


async def _described(
    admin: AIOKafkaAdminClient, names: list[str], patience_s: float, on_wait: Callable[[str], object]
) -> list[dict[str, Any]]:
    """The topics once every partition has a leader; raises NoLeader."""
    started, said = time.monotonic(), False
    while True:
        topics: list[dict[str, Any]] = await admin.describe_topics(names)
        for topic in topics:
            if topic["error_code"] == TopicAuthorizationFailedError.errno:  # no waiting helps
                raise TopicAuthorizationFailedError(f"topic {topic['topic']} (`otb acls` has the rights)")
        leaderless = [t["topic"] for t in topics if t["error_code"] or any(p["leader"] < 0 for p in t["partitions"])]
        if not leaderless:
            return topics
        waited = time.monotonic() - started
        line = f"no broker leads all partitions of {', '.join(leaderless)}"
        if waited > patience_s:
            raise NoLeader(f"{line}, after {patience_s:.0f} s: brokers are away")
        if not said and waited > min(SAID_AFTER_S, patience_s / 2):
            on_wait(f"{line}: waiting for {patience_s:.0f} s")
            said = True
        await asyncio.sleep(LEADER_WAIT_S)


async def _topic_ids(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, bytes]:
    """Raises KafkaError when the broker does not tell."""
    answer = await admin._send_request(DescribeTopicIds(names))
    for code, name, *_rest in answer.topics:
        if code:
            raise for_code(code)(f"topic {name}")
    return {name: topic_id for _code, name, topic_id, *_rest in answer.topics}


async def _require_kept(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
    """Somebody may have made a topic by hand, or changed it since; an older release may have made it."""
    wanted = {
        spec.name: {key: value for key, value in spec.config.items() if key in spec.kept or key == SEGMENT}
        for spec in specs
    }
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(keys)) for name, keys in wanted.items() if keys
    ]
    for response in await admin.describe_configs(asked):
        for code, detail, _type, name, entries in response.resources:
            if code == TopicAuthorizationFailedError.errno:
                log.warning("topic %s: no right to see its configuration, so not whether it keeps its records", name)
                continue
            if code:
                raise for_code(code)(f"topic {name}: {detail or ''}")
            for key, value, *_rest in entries:
                if key == SEGMENT:
                    _warn_of_large_segments(name, int(value), int(wanted[name][key]))
                elif value != wanted[name][key]:
                    raise RetentionMismatch(
                        f"topic {name} has {key}={value}, must be {wanted[name][key]}: "
                        "records that nothing else holds would be deleted (docs/runbook.md, Ledger)"
                    )


def _warn_of_large_segments(topic: str, size: int, wanted: int) -> None:
    if size > wanted:
        log.warning(
            "topic %s has %s=%d, %d is better: a cold restore reads the last segment whole, whatever compaction could "
            "spare it (docs/architecture.md, Standbys)", topic, SEGMENT, size, wanted,
        )  # fmt: skip
