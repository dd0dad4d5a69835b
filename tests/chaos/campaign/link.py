"""The network between a worker and the broker: `tests.tcp_proxy` on a loop of its own, so that it can be cut."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, cast

from deploy.embedded.ports import LOOPBACK, ReservedPort
from tests.tcp_proxy import CuttingProxy

END_TRANSACTION: Final = b"\x00\x1a\x00\x00"
"""How an EndTxn request begins behind its length: API key 26, version 0 (the one that aiokafka sends)."""
PATIENCE_S: Final = 30


class _Held:
    """A reader that hands on what it has read only while the gate is open."""

    def __init__(self, reader: asyncio.StreamReader, gate: asyncio.Event) -> None:
        self._reader, self._gate = reader, gate

    async def read(self, most: int) -> bytes:
        data = await self._reader.read(most)
        await self._gate.wait()
        return data


class Link:
    """Forwards `address` to the port `behind`. Enter it before the broker is told the address."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self._port = ReservedPort()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="link")
        self._server: asyncio.Server | None = None
        self._gate = asyncio.Event()
        self._gate.set()
        self._proxy = CuttingProxy(LOOPBACK, behind, END_TRANSACTION)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._port.number}"

    @property
    def answers_lost(self) -> int:
        """How many answers to a commit have been swallowed."""
        return self._proxy.cuts_made

    def __enter__(self) -> Link:
        self._port.__enter__()
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._port.__exit__(kind, error, trace)

    def cut(self) -> None:
        """Every connection is reset, and new ones are refused."""
        self._run(self._cut())

    def mend(self) -> None:
        """Connections are forwarded again."""
        self._run(self._mend())

    def stall(self) -> None:
        """Connections stay, but nothing that the worker sends arrives."""
        self._loop.call_soon_threadsafe(self._gate.clear)

    def flow(self) -> None:
        """What was held back arrives."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def lose_an_answer(self) -> None:
        """The next commit is forwarded; its answer is swallowed and the connection reset."""
        self._loop.call_soon_threadsafe(self._proxy.cuts.append, "after")

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._proxy.stop()

    async def _mend(self) -> None:
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._connected, LOOPBACK, self._port.number)

    async def _connected(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            await self._proxy.connected(cast(asyncio.StreamReader, _Held(client_in, self._gate)), client_out)
        except OSError:  # the broker is away as well
            client_out.transport.abort()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)
