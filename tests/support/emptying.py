"""Empties a broker, so that many tests can have the real topic names and none pays for the start of a broker.

Whoever worked on it must have ended, in whatever way; what the dead left in groups and transactions is ended here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from topics.transport.protocol import ListTransactions

PATIENCE_S = 60
_NAME = String("utf-8")


class LeaveGroupResponseV3(Response):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("members", Array(("member_id", _NAME), ("group_instance_id", _NAME), ("error_code", Int16))),
    )


class LeaveGroupRequestV3(RequestStruct):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = LeaveGroupResponseV3
    SCHEMA = Schema(("group_id", _NAME), ("members", Array(("member_id", _NAME), ("group_instance_id", _NAME))))


class Removal(Request[LeaveGroupRequestV3]):  # type: ignore[misc]
    """Members of a group leave it, whoever they are: one that was killed stays until its session is over."""

    API_KEY = 13

    def __init__(self, group: str, members: Sequence[str]) -> None:
        self._group, self._members = group, members

    def build(self, struct: type[LeaveGroupRequestV3]) -> LeaveGroupRequestV3:
        return struct(self._group, [(member, None) for member in self._members])


def empty(bootstrap: str) -> None:
    """A broker that is alone, without open transactions, groups and topics (but for its own)."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    _abort_transactions(bootstrap)
    _delete_groups(client, bootstrap)
    _delete_topics(client)


def open_transactions(bootstrap: str) -> list[str]:
    """Transactional ids of the producers that have one."""
    [answer] = asyncio.run(_answers(bootstrap, [ListTransactions("Ongoing")]))
    return [transactional_id for transactional_id, *_rest in answer.transaction_states]


def _abort_transactions(bootstrap: str) -> None:
    """What the broker would abort by itself, later, would go to the next test's topics of the same names."""
    for transactional_id in open_transactions(bootstrap):
        Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id}).init_transactions(PATIENCE_S)


def _delete_groups(client: AdminClient, bootstrap: str) -> None:
    groups = [group.group_id for group in client.list_consumer_groups().result(PATIENCE_S).valid]
    if not groups:
        return
    described = [found.result(PATIENCE_S) for found in client.describe_consumer_groups(groups).values()]
    removals = [Removal(each.group_id, [member.member_id for member in each.members]) for each in described]
    asyncio.run(_answers(bootstrap, removals))
    for deleted in client.delete_consumer_groups(groups).values():
        deleted.result(PATIENCE_S)


def _delete_topics(client: AdminClient) -> None:
    topics = _topics(client)
    if not topics:
        return
    for deleted in client.delete_topics(topics).values():
        deleted.result(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while _topics(client):
        assert time.monotonic() < deadline, "topics are still there"
        time.sleep(0.02)


def _topics(client: AdminClient) -> list[str]:
    return [name for name in client.list_topics(timeout=PATIENCE_S).topics if not name.startswith("__")]


async def _answers(bootstrap: str, requests: Sequence[Any]) -> list[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        [broker] = admin._client.cluster.brokers()
        return [await admin._client.send(broker.nodeId, request) for request in requests]
    finally:
        await admin.close()
