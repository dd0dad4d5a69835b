"""A broker that stands still: it has its connections and answers nobody."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.embedded.kafka import Broker


@contextmanager
def standing(broker: Broker) -> Iterator[None]:
    """For the time of the block; it goes on whatever happens there."""
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.process.send_signal(signal.SIGCONT)
