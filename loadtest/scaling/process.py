"""What a process has used, and how long it has waited for a core."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest.scaling.errors import ScalingError
from loadtest.usage import Probe


@dataclass(frozen=True, slots=True)
class Spent:
    """By one moment. `waited_seconds` is of the main thread, the one that decides: ready to run, and no core for it;
    None where the kernel does not say."""

    at_ns: int  # time.monotonic_ns()
    cpu_seconds: float  # of all threads
    waited_seconds: float | None
    rss_bytes: int


def spent(pid: int) -> Spent:
    """What process `pid` has used by now; raises ScalingError when it is gone."""
    usage = Probe(pid).read()
    if usage is None:
        raise ScalingError(f"process {pid} has ended")
    return Spent(usage.at_ns, usage.cpu_seconds, _waited(pid), usage.rss_bytes)


def _waited(pid: int) -> float | None:
    """The second figure of /proc/PID/schedstat, in nanoseconds (Documentation/scheduler/sched-stats.rst of Linux)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def written_bytes(pid: int) -> int:
    """What a process has handed to its disk so far; 0 where the system does not tell, or for a process that is gone."""
    try:
        return int(psutil.Process(pid).io_counters().write_bytes)
    except (psutil.Error, AttributeError):
        return 0


def folder_bytes(folder: Path) -> int:
    """Size of all files under `folder`; files that go away meanwhile count as nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def pin(pid: int, cores: Iterable[int]) -> None:
    """Keep all threads of a process, and those they start, on these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def waited_share(before: Spent, after: Spent) -> float | None:
    """Which part of the time between two looks its main thread waited for a core."""
    if before.waited_seconds is None or after.waited_seconds is None or after.at_ns <= before.at_ns:
        return None
    return round((after.waited_seconds - before.waited_seconds) / ((after.at_ns - before.at_ns) / 1e9), 4)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
