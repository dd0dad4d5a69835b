"""Creates the topics, and refuses to work with ones that have another number of partitions."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from topics.declarations import ALL, TopicSpec


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


async def ensure_topics(bootstrap: str, app_id: str, partitions: int, replication: int) -> None:
    """Create what is missing; raises PartitionMismatch naming the first topic that does not fit."""
    specs = [*ALL, changelog(app_id)]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [NewTopic(spec.name, partitions, replication, topic_configs=dict(spec.config)) for spec in specs]
        response = await admin.create_topics(wanted)
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {rest[0] if rest else ''}")
        for topic in await admin.describe_topics([spec.name for spec in specs]):
            if topic["error_code"] == 0 and len(topic["partitions"]) != partitions:
                raise PartitionMismatch(
                    f"topic {topic['topic']} has {len(topic['partitions'])} partitions, OTB_PARTITIONS says {partitions}"
                )
    finally:
        await admin.close()
