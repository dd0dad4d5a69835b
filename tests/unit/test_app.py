"""The process around the worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import faust
import pytest

from agents.faust_app import process


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, as it was before when the test is over."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


def test_no_time_goes_into_log_records_that_nobody_sees(root_logger: logging.Logger) -> None:
    quiet = process(faust.App("quiet", broker="kafka://127.0.0.1:1", web_enabled=False))
    quiet._setup_logging()
    assert root_logger.handlers
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("agents.decider").isEnabledFor(logging.WARNING)
