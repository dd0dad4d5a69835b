"""The connection over which a process asks how many partitions the topics have, however it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError

from deploy.embedded.ports import LOOPBACK, ReservedPort
from tests.support.brief_broker import BriefBroker
from topics.admin import PartitionCheck
from topics.cluster import Cluster

_PATIENCE_S = 10


def check_of(port: int) -> PartitionCheck:
    return PartitionCheck(Cluster(f"{LOOPBACK}:{port}"), "opentobuy", 8)


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[BriefBroker, PartitionCheck, asyncio.Task[None]]]:
    """A broker that has been asked and holds its answer back, the check, and who asks."""
    async with BriefBroker().running() as broker:
        broker.holding = True
        check = check_of(broker.port)
        asked = asyncio.create_task(check.now())
        await asyncio.wait_for(broker.held.wait(), _PATIENCE_S)
        yield broker, check, asked


async def test_who_is_cancelled_while_it_connects_leaves_no_connection_open() -> None:
    async with asking() as (broker, check, asked):
        asked.cancel()
        stopping = asyncio.create_task(check.stop(grace_s=_PATIENCE_S))
        await asyncio.wait({asked})
        assert (asked.cancelled(), broker.deserted.is_set()) == (True, False)
        broker.answer()
        await asyncio.wait_for(stopping, _PATIENCE_S)
        await asyncio.wait_for(broker.deserted.wait(), _PATIENCE_S)


async def test_a_cluster_that_does_not_answer_is_not_waited_for_when_it_stops() -> None:
    async with asking() as (_broker, check, asked):
        await asyncio.wait_for(check.stop(grace_s=0.05), _PATIENCE_S)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asked, _PATIENCE_S)


async def test_a_cluster_that_was_away_is_asked_anew() -> None:
    with ReservedPort() as reserved:
        check = check_of(reserved.number)
        for _ in range(2):
            with pytest.raises(KafkaConnectionError):
                await check.now()
        await check.stop()


async def test_one_that_never_asked_stops() -> None:
    await check_of(1).stop()
