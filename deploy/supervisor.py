"""Child processes of one command: started, awaited, watched, and stopped in the reverse order, whatever happens.

A child's output goes to a log file in the run's folder, and its process id to a file beside it. It cannot outlive the
command (see `deploy.embedded.launch`); the engine is made to survive a SIGKILL, so that is how the kernel ends it.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.restoring import RESTORING
from deploy.embedded.process import Command, spawn, stop

STOP_SECONDS: Final = 10.0
TAIL_LINES: Final = 15
_POLL_SECONDS: Final = 0.05
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class ChildDied(Exception):
    """A child ended, or never got ready: `tail` holds the last lines it wrote."""

    def __init__(self, message: str, tail: Sequence[str]) -> None:
        super().__init__(message)
        self.tail = list(tail)


@dataclass(slots=True)
class Child:
    """One running child."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def lines(self) -> list[str]:
        """What it has written so far, without terminal control sequences (Faust hides the cursor even in a file)."""
        return _CONTROL.sub("", self.log.read_text(errors="replace")).splitlines()

    def check(self) -> None:
        """Raise ChildDied if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise ChildDied(f"the {self.name} {_ending(status)}; its last lines are above", self._tail())

    def wait_ready(self, seconds: float, on_progress: Callable[[str], object] = lambda _line: None) -> None:
        """Return once it has written the line `ready`; raises ChildDied when it ends, or has said for so long neither
        that nor how far its restore is, which `on_progress` is told."""
        deadline, told = time.monotonic() + seconds, 0
        while "ready" not in (lines := self.lines()):
            self.check()
            progress = [line for line in lines if line.startswith(RESTORING)]
            for line in progress[told:]:
                on_progress(f"{self.name}: {line}")
                deadline, told = time.monotonic() + seconds, len(progress)
            if time.monotonic() > deadline:
                message = f"the {self.name} was not ready within {seconds:.0f} s; its last lines are above"
                raise ChildDied(message, self._tail())
            time.sleep(_POLL_SECONDS)

    def _tail(self) -> list[str]:
        return self.lines()[-TAIL_LINES:]

    def announced(self, word: str) -> str | None:
        """The rest of the first line that starts with `word`, such as the address behind `metrics`."""
        return next((line.removeprefix(word).strip() for line in self.lines() if line.startswith(f"{word} ")), None)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end and wait; after `seconds` it is killed."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        stop(self.process, seconds)


@contextmanager
def child(
    name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], niceness: int = 0
) -> Iterator[Child]:
    """A child for the time of the block. It ends with the thread that started it: call this from the main thread."""
    log = folder / f"{name}.log"
    log.touch(mode=0o600)
    process = spawn(Command(arguments, log, environment=environment, niceness=niceness))
    pid_file = folder / f"{name}.pid"
    pid_file.write_text(f"{process.pid}\n")
    running = Child(name, process, log)
    try:
        yield running
    finally:
        running.stop()
        pid_file.unlink(missing_ok=True)


def recorded_pid(name: str, folder: Path) -> int | None:
    """Process id of the child `name` of the run in `folder`, None when it has none."""
    try:
        return int((folder / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None


def watch(children: Sequence[Child], finished: Callable[[], bool] = lambda: False) -> None:
    """Return when `finished()`; raises ChildDied as soon as one of the children has ended."""
    while not finished():
        for each in children:
            each.check()
        time.sleep(_POLL_SECONDS * 4)


def _ending(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
