"""The worker processes of one part of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from loadtest.scaling.process import Spent, spent, written_bytes
from topics.cluster import Cluster

READY_S: Final = 330.0
"""A little longer than a worker itself waits for its rows (OTB_RECOVERY_DEADLINE_S)."""

CALM_CORES: Final = 0.5
CALM_BYTES: Final = 1_000_000
CALM_S: Final = 1.0
MOST_CALMING_S: Final = 60.0


class WorkerProcess(Protocol):
    """A running worker."""

    @property
    def pid(self) -> int: ...

    def check(self) -> None:
        """Raise what says why, if it has ended."""

    def wait_ready(self, seconds: float) -> None:
        """Return once it decides."""


Launch = Callable[[str, Mapping[str, str]], AbstractContextManager[WorkerProcess]]
"""(name, settings as environment variables) -> a worker for the time of a block."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the run takes place. The broker is its own: it speaks without TLS."""

    cluster: Cluster
    broker_pid: int
    home: Path  # where workers keep their stores
    partitions: int
    launch: Launch


@contextmanager
def workers(servers: Servers, group: str, count: int, part: str) -> Iterator[Sequence[WorkerProcess]]:
    """`count` workers of a group, all ready, for the time of the block. What `launch` raises."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(servers.launch(f"{group}-{part}-{name}", settings(servers, group, name)))
            for name in (worker_name(number) for number in range(count))
        ]
        for each in started:
            each.wait_ready(READY_S)
        yield started


def worker_name(number: int) -> str:
    """Name of a group's worker, from 0."""
    return f"worker-{number}"


def settings(servers: Servers, group: str, name: str) -> dict[str, str]:
    """What makes a worker one of this group. No request is shed: every one is scored, however long it waited."""
    return {
        "OTB_KAFKA": str(servers.cluster),
        "OTB_HOME": str(servers.home),
        "OTB_PARTITIONS": str(servers.partitions),
        "OTB_APP_ID": group,
        "OTB_WORKER": name,
        "OTB_SHED_AFTER_MS": "0",
    }


def calmed(process: WorkerProcess) -> Spent:
    """Wait until the worker does next to nothing, `MOST_CALMING_S` at most: after a restore its store still merges
    files. On a machine without a free core that shows in what it writes. Returns what it has used until then."""
    deadline = time.monotonic() + MOST_CALMING_S
    before, written_before = spent(process.pid), written_bytes(process.pid)
    while True:
        time.sleep(CALM_S)
        process.check()
        now, written = spent(process.pid), written_bytes(process.pid)
        cores = (now.cpu_seconds - before.cpu_seconds) / ((now.at_ns - before.at_ns) / 1e9)
        calm = cores < CALM_CORES and written - written_before < CALM_BYTES
        if calm or time.monotonic() > deadline:
            return now
        before, written_before = now, written
