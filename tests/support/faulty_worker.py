"""A worker that hurts itself: `python -m tests.support.faulty_worker`. No OTB_FAULT, no fault; else it is one of

SIGNAL:STEP:COUNT   ends or freezes at a numbered step of a commit, for example KILL:commit:200 (the 200th time it
                    comes to that step); the signal goes to this process alone
EARLY               the seek that Faust makes between resuming input and emptying the streams' queues takes until a
                    slice is in a queue (at most 2 s), and the agent is slow to take it out
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from mode.utils.queues import FlowControlQueue

from agents.app import run
from agents.settings import Settings
from topics.transport.consumer import SliceConsumer


class Fault:
    """Counts the visits to one step and raises the signal on the last."""

    def __init__(self, plan: str) -> None:
        name, self._step, count = plan.split(":")
        self._signal = getattr(signal, f"SIG{name}")
        self._left = int(count)

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


def let_input_come_early() -> None:
    """What a slow broker and a busy event loop make of a start now and then, every time."""
    seek, get = SliceConsumer.perform_seek, FlowControlQueue.get

    async def slow_seek(consumer: SliceConsumer) -> None:
        await seek(consumer)
        for _ in range(2000):
            if not consumer._idle.is_set():
                return
            await asyncio.sleep(0.001)

    async def slow_get(queue: FlowControlQueue[Any]) -> Any:
        while True:
            await asyncio.sleep(0.5)
            if not queue.empty():
                return await get(queue)

    SliceConsumer.perform_seek = slow_seek  # type: ignore[method-assign]
    FlowControlQueue.get = slow_get  # type: ignore[method-assign]


def main() -> None:
    plan = os.environ.get("OTB_FAULT", "")
    if plan == "EARLY":
        let_input_come_early()
        run(Settings())
    else:
        run(Settings(), Fault(plan) if plan else lambda _step: None)


if __name__ == "__main__":
    main()
