"""One link on a real socket: back-pressure, noise, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from agents.gateway.connection import Connection
from agents.gateway.framing import Frames, Length, frame
from agents.gateway.in_flight import Caller
from agents.gateway.metrics import GatewayMetrics
from topics.iso8583 import Malformed, MalformedReason

PATIENCE_S = 30


class Desk:
    """Takes frames as the gateway does, and answers when the test says so."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Caller]] = []
        self.delivered: list[bool] = []

    def receive(self, raw: bytes, _arrived: float, caller: Caller) -> Malformed | None:
        if raw == b"noise":
            caller.answer(None)
            return Malformed(MalformedReason.NOT_ISO8583, "MTI", "not four digits")
        self.taken.append((raw, caller))
        return None

    def answer(self, response: bytes | None = None) -> None:
        """The oldest; with its own bytes unless there are others."""
        raw, caller = self.taken.pop(0)
        self.delivered.append(caller.answer(response or raw))

    async def has(self, count: int) -> None:
        await until(lambda: len(self.taken) == count)


class Open:
    """A connection and the client's end of it."""

    def __init__(self, connection: Connection, running: asyncio.Task[None], reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter, registry: CollectorRegistry) -> None:  # fmt: skip
        self.connection, self.running, self.reader, self.writer = connection, running, reader, writer
        self.registry = registry
        self._frames = Frames(Length.BINARY_2)

    def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(frame(message, Length.BINARY_2) for message in messages))

    async def receive(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count and (data := await self.reader.read(65536)):
                found += self._frames.feed(data)
        return found


@asynccontextmanager
async def connected(desk: Desk, max_in_flight: int = 3) -> AsyncIterator[Open]:
    registry, made = CollectorRegistry(), asyncio.Queue[tuple[Connection, asyncio.Task[None]]]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            reader, writer, length=Length.BINARY_2, max_in_flight=max_in_flight, receive=desk.receive,
            clock=asyncio.get_running_loop().time, metrics=GatewayMetrics(registry),
        )  # fmt: skip
        running = asyncio.ensure_future(connection.run())
        made.put_nowait((connection, running))
        await asyncio.wait([running])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    connection, running = await made.get()
    try:
        yield Open(connection, running, reader, writer, registry)
    finally:
        writer.close()
        running.cancel()
        await asyncio.wait([running])
        server.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def still(true: Callable[[], bool], turns: int = 40) -> None:
    """It stays so while everything else gets its turn."""
    for _ in range(turns):
        assert true()
        await asyncio.sleep(0.005)


async def finished(task: Awaitable[None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await task


async def test_no_more_are_taken_than_may_wait() -> None:
    desk = Desk()
    async with connected(desk, max_in_flight=3) as link:
        link.send(*(b"%d" % number for number in range(5)))
        await desk.has(3)
        await still(lambda: len(desk.taken) == 3)
        desk.answer()
        await until(lambda: [raw for raw, _caller in desk.taken] == [b"1", b"2", b"3"])
        await still(lambda: len(desk.taken) == 3)
        desk.answer()
        desk.answer()
        await until(lambda: [raw for raw, _caller in desk.taken] == [b"3", b"4"])
        assert await link.receive(3) == [b"0", b"1", b"2"]


async def test_a_full_connection_is_not_read() -> None:
    """TCP tells the sender to wait: what it has in hand does not end up in our memory."""
    desk = Desk()
    async with connected(desk, max_in_flight=1) as link:
        for _ in range(2000):
            link.send(b"9" * 9000)
        await desk.has(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await link.writer.drain()
        unsent = link.writer.transport.get_write_buffer_size()
        assert unsent > 2_000_000, "of 18 MB, kernel buffers and one chunk of ours hold the rest"


async def test_a_client_that_takes_no_answers_is_not_read() -> None:
    desk = Desk()
    async with connected(desk, max_in_flight=4) as link:
        link.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(3000):
            link.send(b"9" * 9000)
        answered = idle = 0
        while idle < 100:
            idle += 1
            while desk.taken:
                desk.answer()
                answered, idle = answered + 1, 0
            await asyncio.sleep(0.005)
        assert 0 < answered < 3000
        unread = link.connection._writer.transport.get_write_buffer_size()
        assert unread < 500_000, "of 27 MB of answers only the last few wait in our memory"


async def test_noise_leaves_room_and_the_connection_goes_on() -> None:
    desk = Desk()
    async with connected(desk, max_in_flight=2) as link:
        link.send(*[b"noise"] * 50, b"good")
        await desk.has(1)
        desk.answer()
        assert await link.receive(1) == [b"good"]


async def test_a_length_that_is_none_closes_after_what_was_taken_is_answered() -> None:
    desk = Desk()
    async with connected(desk) as link:
        link.send(b"good")
        link.writer.write(b"\xff\xff" + frame(b"lost", Length.BINARY_2))
        await desk.has(1)
        await still(lambda: not link.running.done() and len(desk.taken) == 1)
        desk.answer()
        assert await link.receive(2) == [b"good"], "then the end"
        await finished(link.running)
        assert link.registry.get_sample_value("otb_gateway_broken_connections_total") == 1


async def test_told_to_stop_it_answers_what_it_has_taken() -> None:
    desk = Desk()
    async with connected(desk, max_in_flight=2) as link:
        link.send(b"a", b"b", b"c")
        await desk.has(2)
        link.connection.stop_reading()
        link.send(b"d")
        await still(lambda: not link.running.done())
        desk.answer()
        desk.answer()
        assert await link.receive(3) == [b"a", b"b"]
        await finished(link.running)
        assert desk.taken == []


@pytest.mark.parametrize("end", ["half", "close", "reset"])
async def test_an_answer_to_a_client_that_has_ended_its_side_is_not_delivered(end: str) -> None:
    desk = Desk()
    async with connected(desk) as link:
        link.send(b"a", b"b")
        await desk.has(2)
        if end == "half":
            link.writer.write_eof()
        elif end == "close":
            link.writer.close()
        else:
            own = link.writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.writer.transport.abort()
        await until(link.connection._writer.is_closing)
        desk.answer()
        assert desk.delivered == [False]
        assert not link.running.done(), "one is still to be answered"
        desk.answer()
        await finished(link.running)
