"""Kafka under the home directory: its jars, and what the JVM has learned about them.

A broker starts in a third of the time when the JVM finds its classes loaded, linked and profiled (an AOT cache, JEP
483, 514 and 515), and works well from its first transactions on when it finds profiles of those too. It learns that in
a run of its own, with some work to do (practice.py), once for the same JVM and jars (`kafka.learned`); it goes without
a cache that does not fit.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.kafka import learned, obtain_jars, running_broker
from deploy.embedded.practice import practise
from deploy.embedded.runs import locked
from topics.cluster import Cluster

_LEARNING_S: Final = 120


def install_kafka(home: Path, on_progress: Callable[[str], None]) -> list[Path]:
    """The jars for `Broker`, shared by all runs; raises StartError. Several processes may do this at once."""
    jars = obtain_jars(home, on_progress)
    if not learned(jars).exists():
        on_progress("letting the JVM learn Kafka, once")
        with locked(jars[0].parent):
            if not learned(jars).exists():  # another process may have been here
                _learn(jars)
    return jars


def _learn(jars: list[Path]) -> None:
    """Start a broker, let it work, stop it in order, and keep what the JVM writes at its end. All works without it, but
    slower."""
    with tempfile.TemporaryDirectory(prefix=".learn-", dir=jars[0].parent) as folder:
        found = Path(folder) / "learned"
        learning = (f"-XX:AOTCacheOutput={found}",)
        # Whoever starts a broker next will say what is wrong.
        with suppress(subprocess.TimeoutExpired, EmbeddedError):
            with running_broker(Path(folder) / "kafka", jars, jvm_options=learning) as broker:
                with suppress(KafkaError, TimeoutError):  # what the JVM has seen until then is learned
                    asyncio.run(asyncio.wait_for(practise(Cluster(broker.bootstrap)), _LEARNING_S))
                broker.ask_to_stop()
                assert broker.process is not None  # noqa: S101
                broker.process.wait(_LEARNING_S)
            if found.exists():
                found.replace(learned(jars))
