"""What a process consumes while a load runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest.result import WorkerUsage

_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process had used by one moment."""

    at_ns: int  # time.monotonic_ns()
    cpu_seconds: float  # since the process began, user and system
    rss_bytes: int


class Probe:
    """Looks at one process; without a pid, or once the process is gone, it sees nothing."""

    def __init__(self, pid: int | None) -> None:
        self._process = _process(pid)

    def read(self) -> Usage | None:
        """What the process has used by now."""
        if self._process is None:
            return None
        try:
            with self._process.oneshot():
                times, memory = self._process.cpu_times(), self._process.memory_info()
        except psutil.Error:
            self._process = None  # it died or is not ours to look at
            return None
        return Usage(time.monotonic_ns(), float(times.user + times.system), int(memory.rss))


class UsageMeter:
    """Context manager that samples one process, from the beginning of the block to its end."""

    def __init__(self, pid: int | None) -> None:
        self._probe = Probe(pid)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="usage-meter", daemon=True)
        self._samples: list[Usage] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def result(self) -> WorkerUsage | None:
        """None when there was nothing to measure."""
        return used(self._samples)

    def _sample(self) -> None:
        stop = False
        while sample := self._probe.read():
            self._samples.append(sample)
            if stop:
                return
            stop = self._stopping.wait(_SAMPLE_SECONDS)


def used(samples: Sequence[Usage]) -> WorkerUsage | None:
    """What was consumed between the first sample and the last; None without samples."""
    if not samples:
        return None
    first, last = samples[0], samples[-1]
    cpu_seconds = last.cpu_seconds - first.cpu_seconds
    seconds = (last.at_ns - first.at_ns) / 1e9
    percent = 100 * cpu_seconds / seconds if seconds else 0.0
    most = max(sample.rss_bytes for sample in samples)
    return WorkerUsage(round(cpu_seconds, 2), round(percent, 1), round(most / 1e6, 1))


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None
