"""Worker processes of a test: started, watched, hurt and stopped by process id, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 90


@dataclass
class WorkerProcess:
    """One worker; its output is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, seconds: float = START_TIMEOUT_S) -> None:
        self.wait_for_line("ready", seconds)

    def wait_for_line(self, line: str, seconds: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + seconds
        while line not in [text.strip() for text in self.output().splitlines()]:
            if self.process.poll() is not None:
                raise AssertionError(f"worker ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {line!r} from the worker:\n{self.output()}")
            time.sleep(0.05)

    def output(self) -> str:
        return self.log.read_text(errors="replace").replace("\x1b[?25l", "").replace("\x1b[?25h", "")

    def metrics_port(self) -> int:
        line = next(line for line in self.output().splitlines() if line.startswith("metrics "))
        return int(line.rsplit(":", 1)[1])

    def metrics(self) -> str:
        """The page that Prometheus would get."""
        url = f"http://127.0.0.1:{self.metrics_port()}/metrics"
        return str(urllib.request.urlopen(url, timeout=5).read().decode())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait_stopped(self) -> None:
        """Until the kernel shows the process as stopped."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < deadline, "the worker did not stop itself"
            time.sleep(0.05)

    def wait_ended(self) -> int:
        return self.process.wait(START_TIMEOUT_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(10)


@contextmanager
def otb(command: str, folder: Path, settings: Mapping[str, str]) -> Iterator[WorkerProcess]:
    """`otb COMMAND` with these variables and no other of ours, once it is ready; gone when the block ends."""
    log = folder / f"{command}-{time.monotonic_ns()}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    environment |= {**settings, "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", command],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
    started = WorkerProcess(process, log)
    try:
        started.wait_ready()
        yield started
    finally:
        started.end()


@contextmanager
def worker(
    kafka: str, folder: Path, name: str = "worker-0", *, fault: str | None = None, **settings: object
) -> Iterator[WorkerProcess]:
    """A worker process on `kafka` with its data under `folder`; gone when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}-{time.monotonic_ns()}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    environment |= {"OTB_KAFKA": kafka, "OTB_HOME": str(folder), "OTB_WORKER": name, "PYTHONUNBUFFERED": "1"}
    environment["OTB_SHED_AFTER_MS"] = "0"  # tests let requests wait
    environment |= {f"OTB_{key.upper()}": str(value) for key, value in settings.items()}
    if fault is not None:
        environment["OTB_FAULT"] = fault
    root = Path(__file__).parents[2]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faulty_worker"],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=root,
        )
    started = WorkerProcess(process, log)
    try:
        yield started
    finally:
        started.end()
