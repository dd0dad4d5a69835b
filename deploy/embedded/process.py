"""A server process that stops with its parent, whatever happens to either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.errors import PortTaken, StartError

_LAUNCHER = Path(__file__).with_name("launch.py")
BACKGROUND = 10
"""Niceness of what no authorisation waits for: a tenth of what others get of a core that all want."""
_POLL_S = 0.02
_TAKEN = "Address already in use"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `arguments` start with the program's path; `user` is an account to run as, None for our own;
    `niceness` from 0 to 19."""

    arguments: Sequence[str]
    log: Path
    user: str | None = None
    death_signal: signal.Signals = signal.SIGKILL
    environment: Mapping[str, str] | None = None
    niceness: int = 0


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, so that Ctrl-C in the terminal reaches only us; output is logged."""
    prefix = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(command.death_signal))]
    environment = None if command.environment is None else {**os.environ, **command.environment}
    with command.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (a list of our own making)
            [*prefix, command.user or "-", str(command.niceness), *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def run_to_end(command: Command, name: str) -> None:
    """Run a preparing step; raises StartError with the last line of its log when it fails."""
    process = spawn(command)
    try:
        if process.wait() != 0:
            raise _failure(name, process.returncode, command.log)
    finally:
        kill(process)


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, log: Path, seconds: float
) -> None:
    """Wait until the server answers; raises PortTaken or StartError when it ends or stays silent for `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise _failure(name, process.returncode, log)
        if time.monotonic() > deadline:
            raise StartError(f"{name} did not answer within {seconds:.0f} s; its log is {log}")
        time.sleep(_POLL_S)


def stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a process that was asked to end; after `seconds` kill its whole session."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill(process)
    finally:
        if process.poll() is None:  # interrupted while waiting
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children at once, and collect it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(name: str, status: int, log: Path) -> StartError:
    lines = log.read_text(errors="replace").splitlines()
    if any(_TAKEN in line for line in lines):
        return PortTaken(f"{name} found its port taken")
    said = _last_words(lines)
    return StartError(f"{name} ended with status {status}: {said} (log: {log})")


def _last_words(lines: Sequence[str]) -> str:
    """The line that most likely says why: the last that names an error, else the last one."""
    spoken = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("at ", "..."))]
    named = [
        line for line in spoken if any(word in line for word in ("ERROR", "FATAL", "error", "Exception", "cannot"))
    ]
    return (named or spoken or ["no output"])[-1][:300]
