"""The gateway as a service: connects to Kafka, listens, and answers until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from agents.clock import wall_clock
from agents.gateway.bus import KafkaBus
from agents.gateway.connection import Connection
from agents.gateway.errors import NotUndone, Unavailable
from agents.gateway.framing import Length
from agents.gateway.gateway import Gateway, Rules
from agents.gateway.in_flight import Caller
from agents.gateway.metrics import GatewayMetrics
from topics.cluster import Cluster
from topics.iso8583 import Malformed, Tokenizer

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 500
START_PATIENCE_S: Final = 30.0
FLUSH_S: Final = 10.0
_CLOSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Link:
    """How the network is spoken to."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    length: Length = Length.BINARY_2
    max_in_flight: int = 256  # requests of one connection that may wait for their answer


class GatewayService:
    """Use: `await service.run()` in a task, `await service.stop()`."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        tokenizer: Tokenizer,
        registry: CollectorRegistry,
        link: Link,
        rules: Rules,
        fetch_wait_ms: int = 5,
    ) -> None:
        self._link = link
        self._rules = rules
        self._metrics = GatewayMetrics(registry)
        self._cluster = cluster
        self._bus = KafkaBus(cluster, self._metrics, fetch_wait_ms)
        self._gateway = Gateway(tokenizer, self._bus, rules, self._metrics, time.monotonic, wall_clock)
        self._alarm = Alarm(self._gateway)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self.port = 0  # the one that is listened on, once `ready`
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until `stop()`; raises GatewayError with one line for the operator. May be called once."""
        try:
            await self._bus.start(START_PATIENCE_S)
            tasks = [asyncio.ensure_future(self._bus.ship()), asyncio.ensure_future(self._bus.listen(self._hear))]
            try:
                await self._serve(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._bus.stop(_CLOSE_S)

    def stop(self) -> None:
        """Take no more requests, answer those in flight, and let `run` return."""
        self._stopping.set()

    async def _serve(self, tasks: list[asyncio.Task[None]]) -> None:
        """Raises what ended one of the tasks; they end by themselves only for a bug."""
        try:
            server = await asyncio.start_server(self._accept, self._link.host, self._link.port)
        except OSError as error:
            raise Unavailable(f"cannot listen on {self._link.host}:{self._link.port}: {error.strerror}") from None
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.close()
            await self._finish()
        for task in tasks:
            if task.done():
                task.result()

    async def _finish(self) -> None:
        """Answer what is in flight and let Kafka have what must arrive."""
        for connection in self._connections:
            connection.stop_reading()
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=self._rules.deadline_s + _CLOSE_S)
        self._alarm.stop()
        left = await self._bus.flush(FLUSH_S)
        for message in left:
            log.error("not sent: %s", message)
        if left:
            raise NotUndone(
                f"Kafka at {self._cluster} did not take {len(left)} reversals of timed-out authorisations: "
                "their holds may stay until they expire"
            )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS or self._stopping.is_set():
            self._metrics.refused_connections.inc()
            writer.close()
            return
        connection = Connection(
            reader,
            writer,
            length=self._link.length,
            max_in_flight=self._link.max_in_flight,
            receive=self._receive,
            clock=time.monotonic,
            metrics=self._metrics,
        )
        log.info("%s: connected", connection.name)
        self._connections[connection] = running = asyncio.ensure_future(connection.run())
        self._metrics.connections.set(len(self._connections))
        try:
            await running
        finally:
            del self._connections[connection]
            self._metrics.connections.set(len(self._connections))
            log.info("%s: closed", connection.name)

    def _receive(self, raw: bytes, arrived: float, caller: Caller) -> Malformed | None:
        malformed = self._gateway.receive(raw, arrived, caller)
        self._alarm.arm()
        return malformed

    def _hear(self, value: bytes | None) -> None:
        self._gateway.hear(value)


class Alarm:
    """Wakes the gateway when the next deadline has come. Its clock is the loop's, `time.monotonic`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._set: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self) -> None:
        """Look at the next deadline; an alarm that is set for an earlier moment stays."""
        deadline = self._gateway.next_deadline()
        if deadline is None or (self._set is not None and self._at <= deadline):
            return
        self.stop()
        self._at = deadline
        self._set = asyncio.get_running_loop().call_at(deadline, self._ring)

    def stop(self) -> None:
        if self._set is not None:
            self._set.cancel()
            self._set = None

    def _ring(self) -> None:
        self._set = None
        self._gateway.expire()
        self.arm()
