"""Connections that their broker resets or still answers on, on both event loops, and aiokafka's tasks that end
unseen."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka.conn
import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

import deploy.cli.app
from deploy.cli.main import main
from deploy.embedded.ports import LOOPBACK
from tests.support.brief_broker import BriefBroker
from tests.support.certificates import Authority
from topics.transport.batches import BatchSender
from topics.transport.connections import (
    SteadyConnection,
    SteadyProtocol,
    look_for_leaders,
    require_running,
    steady_connections,
)
from topics.transport.coordinators import Coordinators
from topics.transport.thread import _require_health

_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
_PATIENCE_S = 10


async def what_senders_see(kind: type[AIOKafkaConnection]) -> set[type]:
    """The errors that are raised by `send`, once in every turn of the loop from the reset until all know of it."""
    seen: set[type] = set()
    async with BriefBroker().running() as broker:
        connection = kind(LOOPBACK, broker.port)
        await connection.connect()
        broker.reset()
        for _ in range(1000):
            try:
                answer = connection.send(MetadataRequest([]))
            except Exception as error:
                seen.add(type(error))
                if not connection.connected():
                    break
            else:
                asyncio.ensure_future(answer).add_done_callback(lambda done: done.exception())
            await asyncio.sleep(0)
        connection.close()
    return seen


@_LOOPS
def test_who_sends_on_a_connection_that_was_reset_is_told_what_is_expected(run: Callable[[Any], Any]) -> None:
    assert run(what_senders_see(SteadyConnection)) == {KafkaConnectionError}


def test_stock_connections_raise_something_else_on_uvloop() -> None:
    """When this fails, aiokafka or uvloop has mended it, and what we do for it can go."""
    assert RuntimeError in uvloop.run(what_senders_see(AIOKafkaConnection))


@pytest.fixture
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `steady_connections` changes, when the test has ended."""
    monkeypatch.setattr(aiokafka.conn, "AIOKafkaConnection", AIOKafkaConnection)
    monkeypatch.setattr(aiokafka.conn, "AIOKafkaProtocol", AIOKafkaProtocol)


@pytest.mark.usefixtures("put_back")
def test_every_command_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_handler: None)
    monkeypatch.setattr(deploy.cli.app, "build", lambda _command: lambda: None)
    main()
    assert (aiokafka.conn.AIOKafkaConnection, aiokafka.conn.AIOKafkaProtocol) == (SteadyConnection, SteadyProtocol)


@pytest.mark.usefixtures("put_back")
@_LOOPS
def test_a_client_asks_for_metadata_however_often_it_is_reset(run: Callable[[Any], Any]) -> None:
    """Once in each of the turns of the loop that a reset takes."""
    steady_connections()

    async def story() -> None:
        async with BriefBroker().running() as broker:
            client = AIOKafkaClient(bootstrap_servers=f"{LOOPBACK}:{broker.port}")
            await client.bootstrap()
            try:
                for turns in range(12):
                    assert await asyncio.wait_for(client.force_metadata_update(), _PATIENCE_S)
                    broker.reset()
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    await asyncio.wait_for(look_for_leaders(client), _PATIENCE_S)
                assert isinstance(client._conns.popitem()[1], SteadyConnection)
            finally:
                await client.close()

    run(story())


# -- answers after the end


async def what_the_loop_says(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Once all is collected of a TLS connection that was closed before its answer came."""
    monkeypatch.delattr(asyncio.StreamReaderProtocol, "__del__")  # helps when it happens to be collected first
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context["message"]))
    signed = authority.sign("broker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    async with BriefBroker(context).running() as broker:
        broker.holding = True
        trusting = ssl.create_default_context(cafile=authority.file)
        connection = aiokafka.conn.AIOKafkaConnection(
            LOOPBACK, broker.port, security_protocol="SSL", ssl_context=trusting
        )
        await connection.connect()
        answer = asyncio.ensure_future(connection.send(MetadataRequest([])))
        await asyncio.wait_for(broker.held.wait(), _PATIENCE_S)
        broker.answer()
        closed = connection.close()
        with pytest.raises(KafkaConnectionError):
            await answer
        await asyncio.wait_for(closed, _PATIENCE_S)
        del connection, answer, closed
        await asyncio.sleep(0.01)
        gc.collect()
    return said


@pytest.mark.usefixtures("put_back")
@_LOOPS
def test_an_answer_to_who_has_left_is_not_an_error(
    run: Callable[[Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady_connections()
    assert run(what_the_loop_says(Authority(tmp_path), monkeypatch)) == []


def test_stock_connections_make_it_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, aiokafka or asyncio has mended it, and what we do for it can go."""
    said = asyncio.run(what_the_loop_says(Authority(tmp_path), monkeypatch))
    assert said == ["Future exception was never retrieved"]


# -- tasks that end unseen


class Ended:
    """A client whose task has ended: nobody will ever ask for metadata."""

    def __init__(self, how: BaseException) -> None:
        self._sync_task = failed(how)
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: None)

    async def force_metadata_update(self) -> None:
        await asyncio.Event().wait()

    async def _wait_on_metadata(self, _topic: str) -> None:
        pass

    async def coordinator_lookup(self, _kind: Any, _key: str) -> int:
        raise KafkaConnectionError


def failed(how: BaseException) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(how)
    return future


def _sends_batches(client: Any) -> Awaitable[Any]:
    return BatchSender(client, None)._leader(aiokafka.TopicPartition("out", 0))


def _asks_coordinators(client: Any) -> Awaitable[Any]:
    return Coordinators(client).become("opentobuy-worker-0", 1000)


@pytest.mark.parametrize("work", [look_for_leaders, _sends_batches, _asks_coordinators])
async def test_nobody_waits_for_a_task_that_has_ended(work: Callable[[Any], Awaitable[Any]]) -> None:
    client = Ended(KeyError("a bug"))
    with pytest.raises(KeyError, match="a bug"):
        await asyncio.wait_for(work(client), _PATIENCE_S)


async def test_a_task_that_has_ended_without_an_error_is_one() -> None:
    async def nothing() -> None: ...

    task = asyncio.create_task(nothing(), name="nothing")
    require_running(task)
    await task
    with pytest.raises(RuntimeError, match=r"nothing.* has ended"):
        require_running(task)


async def test_a_task_that_was_cancelled_was_ended_by_who_closed_its_client() -> None:
    task = asyncio.create_task(asyncio.sleep(_PATIENCE_S))
    task.cancel()
    await asyncio.wait([task])
    require_running(task, None)


async def test_who_looks_for_leaders_as_the_client_is_closed_is_not_told_of_a_fault() -> None:
    async with BriefBroker().running() as broker:
        client = AIOKafkaClient(bootstrap_servers=f"{LOOPBACK}:{broker.port}")
        await client.bootstrap()
        broker.reset()
        looking = asyncio.create_task(look_for_leaders(client))
        await asyncio.sleep(0)
        await client.close()
        await asyncio.wait_for(looking, _PATIENCE_S)
        late = asyncio.create_task(look_for_leaders(client))
        await asyncio.sleep(0.05)
        assert not late.done()
        late.cancel()


class Quiet:
    """A consumer of which nothing is wrong."""

    def __init__(self) -> None:
        running = asyncio.get_running_loop().create_future
        self._client, self._fetcher = SimpleNamespace(_sync_task=running()), SimpleNamespace(_fetch_task=running())
        self._coordinator = SimpleNamespace(check_errors=lambda: None)
        self._closed = False


async def test_a_consumer_says_what_has_ended() -> None:
    _require_health(Quiet())
    consumer = Quiet()
    consumer._client._sync_task = failed(KeyError("asks"))
    with pytest.raises(KeyError, match="asks"):
        _require_health(consumer)
    consumer = Quiet()
    consumer._fetcher._fetch_task = failed(KeyError("fetches"))
    with pytest.raises(KeyError, match="fetches"):
        _require_health(consumer)
    consumer._closed = True  # they end with it
    _require_health(consumer)


async def test_a_consumer_says_what_its_coordinator_waits_to_tell() -> None:
    consumer = Quiet()

    def told() -> None:
        raise KafkaConnectionError

    consumer._coordinator.check_errors = told
    with pytest.raises(KafkaConnectionError):
        _require_health(consumer)
