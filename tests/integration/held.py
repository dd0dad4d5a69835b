"""Runs of embedded servers held by another process, for tests that kill it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from deploy.embedded.runs import Run, Server, read

REPOSITORY = Path(__file__).parents[2]
LONG_S = 60
ELSEWHERE = "127.0.0.1:1"  # an address for a server that a test does not need: nothing is started for it


class Holder:
    """A process that holds a run; `run` waits until it is up."""

    def __init__(self, home: Path, addresses: Mapping[str, str], prefix: tuple[str, ...] = ()) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
        self.servers: list[Server] = []
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.integration.hold_servers"],
            cwd=REPOSITORY,
            env={**inherited, "OTB_HOME": str(home), **addresses},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self) -> Run:
        assert self.process.stdout is not None
        folder = self.process.stdout.readline().strip()
        assert folder, "the holder ended before its servers were up (its messages are above)"
        run = read(Path(folder))
        assert run is not None
        self.servers = run.servers
        return run

    def interrupt(self) -> int:
        """Ctrl-C as a terminal does it: to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(LONG_S)


@contextmanager
def holder(home: Path, addresses: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()) -> Iterator[Holder]:
    held = Holder(home, addresses or {}, prefix)
    try:
        yield held
    finally:
        if held.process.poll() is None:
            held.process.kill()
        held.process.wait()
        for server in held.servers:  # none, unless what is tested here is broken
            _end(server)
        if held.process.stdout:
            held.process.stdout.close()


def _end(server: Server) -> None:
    with suppress(psutil.Error):
        if is_running(server):
            psutil.Process(server.pid).kill()


def is_running(server: Server) -> bool:
    try:
        process = psutil.Process(server.pid)
        return bool(process.create_time() == server.started and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(servers: list[Server]) -> list[Server]:
    """The servers that still run after a long wait: none, if all is well."""
    deadline = time.monotonic() + LONG_S
    while (left := [server for server in servers if is_running(server)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
