"""One peer's process: started with its output in a log, watched, and ended by its id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.peers.errors import PeerFailed

STOP_SECONDS: Final = 5.0
"""A peer that has not ended by then, after it was asked to, is killed."""

SOURCE: Final = Path(__file__).parents[2]
"""Where the top-level packages are."""


@dataclass(frozen=True, slots=True)
class PeerProcess:
    """One running peer."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raise PeerFailed, with the last line it wrote, if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise PeerFailed(f"its process ended with status {status}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log that names an error, else the last one."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        spoken = [line for line in lines if line and not line.startswith(("at ", "..."))]
        named = [line for line in spoken if "Error" in line or "Exception" in line]
        return (named or spoken or ["it wrote nothing"])[-1][:200]


def python_module(name: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", name]


@contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[PeerProcess]:
    """The command for the time of the block; its standard input is a pipe that ends with us (see stage.py)."""
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **(environment or {})}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 (a list of our own making)
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=variables, start_new_session=True
        )
    try:
        yield PeerProcess(process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, kill the session, collect."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
