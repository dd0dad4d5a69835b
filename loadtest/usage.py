"""What a process consumes while a load runs."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped,unused-ignore]

from loadtest.result import WorkerUsage

_SAMPLE_SECONDS = 0.5


class UsageMeter:
    """Context manager that samples one process; without a pid, or once the process is gone, it measures nothing."""

    def __init__(self, pid: int | None) -> None:
        self._process = _process(pid)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="usage-meter", daemon=True)
        self._rss = 0
        self._cpu_seconds = 0.0
        self._seconds = 0.0

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
        if not self._rss:
            return None
        percent = 100 * self._cpu_seconds / self._seconds if self._seconds else 0.0
        return WorkerUsage(round(self._cpu_seconds, 2), round(percent, 1), round(self._rss / 1e6, 1))

    def _sample(self) -> None:
        assert self._process is not None  # noqa: S101  (the thread is only started with a process)
        try:
            cpu_before, began = _cpu_seconds(self._process), time.monotonic()
            while True:
                stop = self._stopping.wait(_SAMPLE_SECONDS)
                self._rss = max(self._rss, self._process.memory_info().rss)
                self._cpu_seconds = _cpu_seconds(self._process) - cpu_before
                self._seconds = time.monotonic() - began
                if stop:
                    return
        except psutil.Error:
            return  # it died or is not ours to look at: the last sample stands


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
