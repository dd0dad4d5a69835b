"""One network link. It is read while fewer requests than its bound wait for their answers, and while the other side
takes the answers; else TCP itself tells the sender to wait.

Whoever ends their side has gone: TCP does not tell whether they still read, and an approval must not count as delivered
when nobody may have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from agents.gateway.framing import BrokenStream, Frames, Length, frame
from agents.gateway.in_flight import Caller
from agents.gateway.metrics import GatewayMetrics
from topics.iso8583 import Malformed

log = logging.getLogger(__name__)

_CHUNK: Final = 64 * 1024
_CLOSE_S: Final = 2.0
_MALFORMED_LOGGED: Final = 20
"""Of one connection; what follows is only counted."""


class Receive(Protocol):
    """Takes a frame that arrived at a time (of the gateway's clock) on a connection."""

    def __call__(self, raw: bytes, arrived: float, caller: Caller, /) -> Malformed | None: ...


class Room:
    """How many more requests may wait."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = asyncio.Event()

    async def take(self) -> None:
        while not self._left:
            await self._change()
        self._left -= 1

    def give_back(self) -> None:
        self._left += 1
        self._changed.set()

    async def all_given_back(self) -> None:
        while self._left < self._size:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Connection:
    """Use: `run` in a task; `stop_reading` lets it answer what it has taken and end."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        length: Length,
        max_in_flight: int,
        receive: Receive,
        clock: Callable[[], float],
        metrics: GatewayMetrics,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._length = length
        self._frames = Frames(length)
        self._room = Room(max_in_flight)
        self._receive = receive
        self._clock = clock
        self._metrics = metrics
        self._malformed = 0
        self._reading: asyncio.Task[None] | None = None
        self._stopped = False
        self._gone = False  # the other side
        self.name = "{}:{}".format(*writer.get_extra_info("peername")[:2])

    async def run(self) -> None:
        """Until the other side ends it, or `stop_reading`; every request taken has its answer by then."""
        try:
            await self._read_until_told()
            if self._gone:
                self._writer.close()
            await self._room.all_given_back()
        finally:
            await self._close()

    def stop_reading(self) -> None:
        """Take no more requests."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()

    def answer(self, response: bytes | None) -> bool:
        self._room.give_back()
        if response is None:
            return True
        if self._gone or self._writer.is_closing():
            return False
        self._writer.write(frame(response, self._length))
        return True

    async def _read_until_told(self) -> None:
        if self._stopped:
            return
        self._reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait([self._reading])
        finally:
            self._reading.cancel()
        if not self._reading.cancelled():
            self._reading.result()

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(_CHUNK):
                arrived = self._clock()
                try:
                    for raw in self._frames.feed(data):
                        await self._take(raw, arrived)
                except BrokenStream as error:
                    self._metrics.broken.inc()
                    log.warning("%s: %s: closed", self.name, error)
                    return
                await self._writer.drain()
        self._gone = True
        if self._frames.unfinished:
            log.warning("%s: ended in the middle of a frame", self.name)

    async def _take(self, raw: bytes, arrived: float) -> None:
        await self._room.take()
        malformed = self._receive(raw, arrived, self)
        if malformed is None:
            return
        self._malformed += 1
        if self._malformed <= _MALFORMED_LOGGED:
            log.warning("%s: %s", self.name, malformed)
        if self._malformed == _MALFORMED_LOGGED:
            log.warning("%s: further malformed frames are only counted", self.name)

    async def _close(self) -> None:
        """What has been written is sent, unless the other side does not take it."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()
