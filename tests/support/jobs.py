"""A thread for jobs that runs them when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Jobs:
    """An executor (tables/behind.py) moved by hand: `jobs` wait, in order."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()

    def submit(self, run: Callable[[], None]) -> Job:
        self.jobs.append(job := Job(self, run))
        return job

    def run_one(self) -> None:
        self.jobs.popleft().run()


class Job:
    """Something to be run once, after everything that was submitted before."""

    def __init__(self, thread: Jobs, run: Callable[[], None]) -> None:
        self._thread, self.run = thread, run

    def result(self) -> None:
        """Whoever waits lets the thread run until this is done."""
        while self in self._thread.jobs:
            self._thread.run_one()
