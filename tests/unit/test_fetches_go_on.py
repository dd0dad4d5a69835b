"""What wakes the loop that fetches: never only its timeout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.consumer.subscription_state import SubscriptionState

from topics.declarations import AUTHORIZATIONS, CLEARINGS
from topics.transport import fetching as transport_fetching
from topics.transport.fetching import HeldFetcher, PatientFetcher
from topics.transport.rationing import RationingFetcher

_REQUESTS = TopicPartition(AUTHORIZATIONS.name, 0)
_FILE = TopicPartition(CLEARINGS.name, 0)
_NOTHING = SimpleNamespace(topics=[], API_VERSION=4)
_DONE = SimpleNamespace(active=False)
"""An assignment whose records nobody wants any more."""
_TURNS = 50
"""Of the event loop: more than anything here takes."""


class Broker:
    """A client whose broker answers when it is told to."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1000
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: 1)
        self.asked: list[set[str]] = []
        self._answer: asyncio.Future[Any] = self._loop.create_future()

    async def send(self, _node: int, request: Any) -> Any:
        self.asked.append({topic for topic, _partitions in request.topics})
        self._answer = self._loop.create_future()
        return await self._answer

    def answer(self) -> None:
        self._answer.set_result(_NOTHING)


@asynccontextmanager
async def fetching(kind: type[Fetcher], *partitions: TopicPartition) -> AsyncIterator[tuple[Any, Broker]]:
    """A fetcher whose timeout never comes, its first fetch on its way."""
    broker, subscriptions = Broker(), SubscriptionState()
    subscriptions.assign_from_user(partitions)
    for tp in partitions:
        subscriptions.subscription.assignment.state_value(tp).seek(0)
    fetcher: Any = Fetcher(broker, subscriptions, fetcher_timeout=3600)
    if kind is not Fetcher:
        fetcher.__class__ = kind
        fetcher.shortest_ms, fetcher.patient = 5, lambda: True
    await turns()
    assert len(broker.asked) == 1
    try:
        yield fetcher, broker
    finally:
        await fetcher.close()


async def turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [HeldFetcher, RationingFetcher])
async def test_a_fetch_that_is_done_as_another_event_wakes_the_loop_is_followed_by_the_next(
    kind: type[Fetcher],
) -> None:
    async with fetching(kind, _REQUESTS) as (fetcher, broker):
        fetcher.let_go()
        broker.answer()
        await turns()
        assert len(broker.asked) == 2


@pytest.mark.parametrize("turn", range(6))
async def test_in_whatever_order_they_come(turn: int) -> None:
    async with fetching(HeldFetcher, _REQUESTS) as (fetcher, broker):
        asyncio.get_running_loop().call_soon(broker.answer)
        for _ in range(turn):
            await asyncio.sleep(0)
        fetcher.let_go()
        await turns()
        assert len(broker.asked) == 2


async def held_again(fetcher: Any, broker: Broker) -> None:
    """A fetch was let go and answered, and the next is held back and let go."""
    fetcher.hold()
    broker.answer()
    await turns()
    fetcher.let_go()
    await turns()


async def test_fetches_are_let_go_some_time_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_fetching, "APART_S", 0.05)
    async with fetching(HeldFetcher, _REQUESTS) as (fetcher, broker):
        since = asyncio.get_running_loop().time()
        await held_again(fetcher, broker)
        assert len(broker.asked) == 2, "the first at once"
        await held_again(fetcher, broker)
        assert fetcher.held
        while fetcher.held:
            fetcher.let_go()
            await asyncio.sleep(0.001)
        await turns()
        assert len(broker.asked) == 3
        assert asyncio.get_running_loop().time() - since >= 0.05


async def test_what_is_held_again_before_it_was_let_go_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_fetching, "APART_S", 0.01)
    async with fetching(HeldFetcher, _REQUESTS) as (fetcher, broker):
        await held_again(fetcher, broker)
        await held_again(fetcher, broker)
        fetcher.hold()
        await asyncio.sleep(0.05)
        assert fetcher.held
        fetcher.let_go()
        await turns()
        assert len(broker.asked) == 3


async def test_so_does_what_was_let_go_again_by_a_loop_that_was_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_fetching, "APART_S", 0.01)
    async with fetching(HeldFetcher, _REQUESTS) as (fetcher, broker):
        await held_again(fetcher, broker)
        await held_again(fetcher, broker)
        time.sleep(0.02)  # noqa: ASYNC251 - the event loop is kept from calling what is due
        fetcher.let_go()
        fetcher.hold()
        await asyncio.sleep(0.05)
        assert fetcher.held


async def test_stock_aiokafka_sleeps_then() -> None:
    """When this fails, aiokafka wakes its loop itself, and what we do for it can go."""
    async with fetching(Fetcher, _REQUESTS) as (fetcher, broker):
        fetcher._notify(fetcher._wait_consume_future)
        broker.answer()
        await turns()
        assert len(broker.asked) == 1


async def test_one_fetch_at_a_time_is_on_its_way() -> None:
    async with fetching(HeldFetcher, _REQUESTS) as (fetcher, broker):
        for _ in range(5):
            fetcher.let_go()
            await turns()
        assert len(broker.asked) == 1


async def test_a_file_that_was_fetched_and_not_taken_keeps_no_requests_from_being_fetched() -> None:
    async with fetching(RationingFetcher, _REQUESTS, _FILE) as (fetcher, broker):
        fetcher._records[_FILE] = FetchResult(_FILE, assignment=None, partition_records=None, backoff=3600)
        broker.answer()
        await turns()
        assert broker.asked == [{_REQUESTS.topic, _FILE.topic}, {_REQUESTS.topic}]


_BOTH = {_REQUESTS.topic, _FILE.topic}


@asynccontextmanager
async def beside_requests() -> AsyncIterator[tuple[Any, Broker]]:
    """Files were just asked for, and something comes with each fetch."""
    async with fetching(RationingFetcher, _REQUESTS, _FILE) as (fetcher, broker):
        fetcher._files_due = {1: float("inf")}
        yield fetcher, broker


async def next_asked(broker: Broker) -> set[str]:
    broker.answer()
    await turns()
    return broker.asked[-1]


async def test_files_are_not_asked_for_with_every_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientFetcher, "_proc_fetch_request", always_finds)
    async with beside_requests() as (fetcher, broker):
        assert await next_asked(broker) == {_REQUESTS.topic}
        assert await next_asked(broker) == {_REQUESTS.topic}
        fetcher._files_due = {1: 0.0}
        assert await next_asked(broker) == _BOTH
        assert await next_asked(broker) == {_REQUESTS.topic}, "not again so soon"


async def test_they_are_where_the_fetch_may_wait_for_long() -> None:
    async with beside_requests() as (_fetcher, broker):
        broker.answer()
        await turns()
        assert broker.asked[-1] == _BOTH


async def test_they_are_where_nothing_else_is_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientFetcher, "_proc_fetch_request", always_finds)
    async with beside_requests() as (fetcher, broker):
        fetcher._subscriptions.pause(_REQUESTS)
        assert await next_asked(broker) == {_FILE.topic}


async def test_they_are_once_one_was_handed_out_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientFetcher, "_proc_fetch_request", always_finds)
    async with beside_requests() as (fetcher, broker):
        fetcher._records[_FILE] = FetchResult(_FILE, assignment=_DONE, partition_records=None, backoff=0)
        fetcher._rations([_FILE], 8, may_raise=True)
        assert await next_asked(broker) == _BOTH


async def always_finds(fetcher: Any, _assignment: Any, node: int, request: Any) -> bool:
    """Like a fetch that has brought something, and was taken at once."""
    with suppress(asyncio.CancelledError):
        await fetcher._client.send(node, request)
    return True
