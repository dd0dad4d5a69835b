"""A broker that says little: what versions it knows and who it is; for what becomes of connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deploy.embedded.ports import LOOPBACK

_API_VERSIONS: Final = 18
_VERSIONS: Final = struct.pack(">hi6h", 0, 2, 3, 0, 1, _API_VERSIONS, 0, 0)
"""Metadata 0 and 1, ApiVersions 0."""


class BriefBroker:
    """Resets connections when it is told to, and holds its answers about metadata back."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """`context`: for TLS."""
        self.port = 0
        self.holding = False
        self.held = asyncio.Event()  # an answer
        self.deserted = asyncio.Event()  # its clients have closed their connections, all of them
        self._context = context
        self._open: list[asyncio.StreamWriter] = []
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BriefBroker]:
        server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.reset()

    def reset(self) -> None:
        """Every connection, so that its other end gets ECONNRESET."""
        for writer in self._open:
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()
        self._open.clear()

    def answer(self) -> None:
        """What was held, at once."""
        self.holding = False
        for writer, framed in self._held:
            writer.write(framed)
        self._held.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        while True:
            try:
                [size] = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
            except (OSError, EOFError):
                self._closed(writer)
                return
            [kind] = struct.unpack(">h", request[:2])
            answer = request[4:8] + (_VERSIONS if kind == _API_VERSIONS else self._metadata())
            framed = struct.pack(">i", len(answer)) + answer
            if self.holding and kind != _API_VERSIONS:
                self._held.append((writer, framed))
                self.held.set()
            else:
                writer.write(framed)

    def _closed(self, writer: asyncio.StreamWriter) -> None:
        if writer in self._open:
            self._open.remove(writer)
            writer.close()
            if not self._open:
                self.deserted.set()

    def _metadata(self) -> bytes:
        """One broker, which is the controller, and no topics."""
        host = struct.pack(">h", len(LOOPBACK)) + LOOPBACK.encode()
        return struct.pack(">ii", 1, 1) + host + struct.pack(">ihii", self.port, -1, 1, 0)
