"""What is on its way when a transaction has begun, on the event loops that a worker may have."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiokafka import TopicPartition
from aiokafka.client import CoordinationType

from topics.cluster import Cluster
from topics.transport.coordinators import Coordinators
from topics.transport.fencing import Membership
from topics.transport.producer import FencedProducer
from topics.transport.transaction import Transactions

Run = Callable[[Coroutine[Any, Any, None]], None]


class Connection:
    """In place of aiokafka's client: writes the request's name to a real socket, as that writes its bytes."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, _node: int, request: Any, **_group: Any) -> None:
        self._writer.write(type(request).__name__.encode() + b"\n")
        await asyncio.Event().wait()  # the broker is silent


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_is_announced_travels_while_the_caller_decides(run: Run) -> None:
    """Deciding gives the event loop no time: what has not been written by then is written after it."""
    run(_begin_and_look())


async def _begin_and_look() -> None:
    ours, brokers = socket.socketpair()
    _reader, writer = await asyncio.open_connection(sock=ours)
    transactions = Transactions(Cluster("127.0.0.1:1"), "worker-0", "group", timeout_ms=10_000)
    producer = transactions._producer = FencedProducer(Cluster("127.0.0.1:1"), "worker-0", timeout_ms=10_000)
    producer._coordinators = Coordinators(Connection(writer))
    producer._coordinators._nodes = {
        (CoordinationType.TRANSACTION, "worker-0"): 1,
        (CoordinationType.GROUP, "group"): 1,
    }
    moved = {TopicPartition("authorizations", 0): 7}
    await transactions.begin({TopicPartition("journal-entries", 0)}, moved, Membership(1, "member-1", None))
    brokers.setblocking(False)
    try:
        assert brokers.recv(100).split() == [b"AddPartitions", b"AddOffsets"]
    finally:
        writer.close()
        brokers.close()
