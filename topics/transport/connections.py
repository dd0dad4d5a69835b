"""aiokafka's connections, which must end with what aiokafka expects, and its background tasks, which must not end
without a word.

A connection that its broker resets is closed some turns of the event loop before aiokafka's reader learns of it. On
asyncio's own loop what is sent meanwhile goes nowhere, and fails when the reader knows. uvloop raises RuntimeError,
which aiokafka does not expect (aio-libs/aiokafka#1038): the task that looks for leaders ended by it, unseen, and
whoever asked for new metadata waited for ever, with all that a worker had in work.

A broker that answers when a TLS connection has been closed is an error to asyncio, which it keeps for who waits for
the end of the stream. aiokafka never does, it has a future of its own for that: asyncio said so with a trace, at
whatever time garbage was collected.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiokafka.conn
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol, CloseReason


class SteadyConnection(AIOKafkaConnection):  # type: ignore[misc]
    """Raises KafkaConnectionError where its transport is closed already, on whatever loop."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        self._note_end()
        return super().send(request, expect_response)

    def _send_sasl_token(self, payload: bytes, expect_response: bool) -> Any:
        self._note_end()
        return super()._send_sasl_token(payload, expect_response)

    def _note_end(self) -> None:
        if self._writer is not None and self._writer.is_closing():
            self.close(reason=CloseReason.CONNECTION_BROKEN)


class SteadyProtocol(AIOKafkaProtocol):  # type: ignore[misc]
    """Has heard with what its stream ended: its readers are told, and nobody else asks."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self._closed.cancelled():
            self._closed.exception()


def steady_connections() -> None:
    """Let every client of this process have such connections; to be called when a process begins."""
    aiokafka.conn.AIOKafkaConnection = SteadyConnection
    aiokafka.conn.AIOKafkaProtocol = SteadyProtocol


async def look_for_leaders(client: AIOKafkaClient) -> None:
    """Until the client has asked for metadata once more, successfully or not; raises what has ended the task that
    asks. A client that is closed never asks again."""
    asking, task = asyncio.ensure_future(client.force_metadata_update()), client._sync_task
    await asyncio.wait([each for each in (asking, task) if each is not None], return_when=asyncio.FIRST_COMPLETED)
    require_running(task)


def require_running(*tasks: asyncio.Task[Any] | None) -> None:
    """Raises what has ended one of aiokafka's background tasks, which last as long as their client or consumer. Who
    closes those cancels it."""
    for task in tasks:
        if task is not None and task.done() and not task.cancelled():
            task.result()
            raise RuntimeError(f"aiokafka's {task.get_coro()} has ended")
