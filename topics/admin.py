"""Creates the topics, and refuses to work with ones that have another number of partitions."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from topics.cluster import Cluster
from topics.declarations import ALL, TopicSpec

LEADER_TRIES: Final = 100
LEADER_WAIT_S: Final = 0.1


class PartitionMismatch(RuntimeError):
    """A topic exists with another partition count: accounts would move between partitions and lose their rows."""


def changelog(app_id: str) -> TopicSpec:
    """The accounts table's changelog: the latest row of every account, kept for ever."""
    return TopicSpec(
        f"{app_id}-accounts-changelog",
        {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.3",
            "segment.ms": "3600000",
            "max.message.bytes": "1048576",
        },
    )


async def ensure_topics(cluster: Cluster, app_id: str, partitions: int, replication: int) -> str:
    """Create what is missing; the cluster's id. Raises PartitionMismatch naming the first topic that does not fit."""
    specs = [*ALL, changelog(app_id)]
    admin = AIOKafkaAdminClient(**cluster.aiokafka())
    await admin.start()
    try:
        wanted = [NewTopic(spec.name, partitions, replication, topic_configs=dict(spec.config)) for spec in specs]
        response = await admin.create_topics(wanted)
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {rest[0] if rest else ''}")
        for topic in await _described(admin, [spec.name for spec in specs]):
            found = len(topic["partitions"])
            if found != partitions:
                raise PartitionMismatch(
                    f"topic {topic['topic']} has {found} partitions, OTB_PARTITIONS says {partitions}"
                )
        cluster_id: str = (await admin.describe_cluster())["cluster_id"]
        return cluster_id
    finally:
        await admin.close()


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> list[dict[str, Any]]:
    """The topics once every partition has a leader; raises TimeoutError naming one that gets none."""
    for _ in range(LEADER_TRIES):
        topics: list[dict[str, Any]] = await admin.describe_topics(names)
        for topic in topics:
            if topic["error_code"] == TopicAuthorizationFailedError.errno:  # no waiting helps
                raise TopicAuthorizationFailedError(f"topic {topic['topic']} (`otb acls` has the rights)")
        leaderless = [t["topic"] for t in topics if t["error_code"] or any(p["leader"] < 0 for p in t["partitions"])]
        if not leaderless:
            return topics
        await asyncio.sleep(LEADER_WAIT_S)
    raise TimeoutError(f"topic {leaderless[0]} has partitions without a leader")
