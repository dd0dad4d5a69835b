"""The process around the worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import faust
import pytest

from agents.faust_app import Process


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, as it was before when the test is over."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


def test_no_time_goes_into_log_records_that_nobody_sees(root_logger: logging.Logger) -> None:
    quiet = Process(faust.App("quiet", broker="kafka://127.0.0.1:1", web_enabled=False))
    quiet._setup_logging()
    assert root_logger.handlers
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("agents.decider").isEnabledFor(logging.WARNING)


def test_nothing_sleeps_while_a_worker_ends(monkeypatch: pytest.MonkeyPatch, root_logger: logging.Logger) -> None:  # noqa: ARG001
    """Mode sleeps for two seconds at the end, in which nobody decides what comes for this worker."""
    loop = asyncio.new_event_loop()
    ending = Process(faust.App("ending", broker="kafka://127.0.0.1:1", web_enabled=False, loop=loop))
    ending.loop = loop
    forever = loop.create_task(asyncio.Event().wait())
    loop.run_until_complete(asyncio.sleep(0))
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    ending._shutdown_loop()
    assert loop.is_closed()
    assert forever.cancelled(), "a task that outlives its services hears of the end"
    assert slept == []
