"""Topics of a test's own, on a real broker."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def make_topics(bootstrap: str, *wanted: NewTopic) -> None:
    """Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics(list(wanted))
    finally:
        await admin.close()
