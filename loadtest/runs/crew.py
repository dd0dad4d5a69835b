"""Several generator processes: made ready side by side, started on one instant, listened to until all have finished."""

from __future__ import annotations

import multiprocessing
import time
from array import array
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from loadtest.openloop import Progress as OnProgress
from loadtest.runs.generator import Failed, Finished, Glimpse, Job, Progress, Ready, Told, generate
from loadtest.schedule import SECOND_NS

_TICK_SECONDS: Final = 0.25
_HEADSTART_NS: Final = SECOND_NS // 2
_STOP_SECONDS: Final = 5.0


Awaited = TypeVar("Awaited", bound=Told)


class GeneratorDied(Exception):
    """A generator process was ended by something else, such as the lack of memory."""


class GeneratorFailed(Exception):
    """A generator process had an error that is ours."""


class Crew:
    """Context manager; leaving the block ends every process, whatever happened."""

    def __init__(self, jobs: Sequence[Job], on_progress: OnProgress) -> None:
        self._jobs = jobs
        self._on_progress = on_progress
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection] = []
        self._progress: dict[int, Progress] = {}
        self._glimpses: dict[int, Glimpse] = {}

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")  # forking would copy the threads' locks, and nothing of use
        for job in self._jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=generate, args=(job, theirs), name=f"generator-{job.number}", daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self._pipes:
            pipe.close()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def wait_ready(self) -> None:
        """Until every generator has its messages, accounts and clients. Raises what stopped one of them."""
        self._listen(Ready, lambda: None)

    def start(self) -> int:
        """Start all on one instant, which is returned: `time.monotonic_ns()`."""
        at_ns = time.monotonic_ns() + _HEADSTART_NS
        for pipe in self._pipes:
            pipe.send(at_ns)
        return at_ns

    def finish(self, on_tick: Callable[[], None]) -> list[Finished]:
        """Until every generator has finished; `on_tick` is called several times a second."""
        return self._listen(Finished, on_tick)

    def so_far(self) -> Glimpse:
        """The newest glimpses of all generators, added up."""
        seen = self._glimpses.values()
        recent = array("q", (each for glimpse in seen for each in glimpse.recent_us))
        return Glimpse(
            sum(glimpse.sent for glimpse in seen),
            sum(glimpse.refused for glimpse in seen),
            sum(glimpse.decided for glimpse in seen),
            recent,
        )

    def _listen(self, kind: type[Awaited], on_tick: Callable[[], None]) -> list[Awaited]:
        """Until every generator has told one message of this kind; those messages, in the generators' order."""
        found: dict[int, Awaited] = {}
        while len(found) < len(self._pipes):
            waiting = {pipe: number for number, pipe in enumerate(self._pipes) if number not in found}
            for pipe in wait(list(waiting), _TICK_SECONDS):
                number = waiting[cast(Connection, pipe)]
                told = self._hear(number)
                if isinstance(told, kind):
                    found[number] = told
            on_tick()
        return [found[number] for number in range(len(self._pipes))]

    def _hear(self, number: int) -> Told:
        """The next message of a generator; its progress and glimpses are remembered."""
        try:
            told: Told = self._pipes[number].recv()
        except (EOFError, OSError):
            self._processes[number].join(_STOP_SECONDS)
            status = self._processes[number].exitcode
            raise GeneratorDied(f"generator process {number} ended with status {status}") from None
        match told:
            case Failed(error=None):
                raise GeneratorFailed(f"generator {number}: {told.trace.strip().splitlines()[-1]}\n{told.trace}")
            case Failed():
                assert told.error is not None  # noqa: S101  (the case above)
                raise told.error
            case Progress():
                self._progress[number] = told
                same = [each for each in self._progress.values() if each.what == told.what]
                total = sum(each.total for each in same) * len(self._jobs) // len(same)
                self._on_progress(told.what, sum(each.done for each in same), total)
            case Glimpse():
                self._glimpses[number] = told
        return told
