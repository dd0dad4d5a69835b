"""What a process consumes while a load runs."""

from __future__ import annotations

import threading
import time
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


class UsageMeter:
    """Context manager that samples one process every `seconds`, from the beginning of the block to its end.

    Without a pid, or once the process is gone, it measures nothing.
    """

    def __init__(self, pid: int | None, seconds: float = _SAMPLE_SECONDS) -> None:
        self._process = _process(pid)
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="usage-meter", daemon=True)
        self.samples: list[Usage] = []

    def __enter__(self) -> Self:
        if self._process:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def result(self) -> WorkerUsage | None:
        """None when there was nothing to measure."""
        if not self.samples:
            return None
        first, last = self.samples[0], self.samples[-1]
        cpu_seconds = last.cpu_seconds - first.cpu_seconds
        seconds = (last.at_ns - first.at_ns) / 1e9
        percent = 100 * cpu_seconds / seconds if seconds else 0.0
        most = max(sample.rss_bytes for sample in self.samples)
        return WorkerUsage(round(cpu_seconds, 2), round(percent, 1), round(most / 1e6, 1))

    def _sample(self) -> None:
        assert self._process is not None  # noqa: S101  (the thread is only started with a process)
        try:
            self.samples.append(_usage(self._process))
            stop = False
            while not stop:
                stop = self._stopping.wait(self._seconds)
                self.samples.append(_usage(self._process))
        except psutil.Error:
            return  # it died or is not ours to look at: the last sample stands


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None


def _usage(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        return Usage(time.monotonic_ns(), float(times.user + times.system), int(process.memory_info().rss))
