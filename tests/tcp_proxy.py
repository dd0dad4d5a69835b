"""A TCP proxy that can cut connections at chosen moments: the network's part in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Cut = Literal["before", "after", "never"]


@dataclass
class CuttingProxy:
    """Forwards to `host:port`. When a client sends `mark`, the next of `cuts` says what happens: "before" drops the
    connection instead of forwarding it; "after" forwards it, waits for the server's answer, and drops the connection
    without passing the answer on; "never" does neither, as if the list were empty."""

    host: str
    port: int
    mark: bytes
    cuts: list[Cut] = field(default_factory=list)
    cuts_made: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection(self.host, self.port)
        silenced = asyncio.Event()
        pumps = {
            asyncio.create_task(self._to_server(client_in, server_out, silenced)),
            asyncio.create_task(self._to_client(server_in, client_out, silenced)),
        }
        self._tasks |= pumps
        with suppress(OSError):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        self._tasks -= pumps
        for writer in (client_out, server_out):
            writer.transport.abort()

    async def _to_server(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, silenced: asyncio.Event
    ) -> None:
        while data := await source.read(65536):
            cut = self.cuts.pop(0) if self.mark in data and self.cuts else "never"
            if cut != "never":
                self.cuts_made += 1
                if cut == "before":
                    return
                silenced.set()
            target.write(data)
            await target.drain()

    async def _to_client(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, silenced: asyncio.Event
    ) -> None:
        while data := await source.read(65536):
            if silenced.is_set():
                return
            target.write(data)
            await target.drain()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def cutting_proxy(dsn: str, mark: bytes, cuts: list[Cut]) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """A proxy before a PostgreSQL server, and the DSN that leads through it (without TLS, so that `mark` is seen)."""
    parts = urlsplit(dsn)
    proxy = CuttingProxy(parts.hostname or "127.0.0.1", parts.port or 5432, mark, cuts)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    credentials = parts.netloc.rpartition("@")[0]
    through = parts._replace(netloc=f"{credentials}@127.0.0.1:{port}", query="sslmode=disable").geturl()
    try:
        yield proxy, through
    finally:
        server.close()
        await proxy.stop()
