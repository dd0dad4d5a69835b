"""Folders of runs: one each, locked while its owner lives, swept by the next start when it no longer does.

HOME/runs/                  .lock: held while a folder is made or swept
HOME/runs/RUN/              .lock: held by the owner as long as it lives, however it ends
                            run.json: addresses and servers (owner-only: it holds the password)
                            kafka/, postgres/: the servers' own folders
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from deploy.embedded.errors import StartError

_LOCK = ".lock"
_RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Server:
    """A server process as written down: `started` is its start time, so that a reused id is not mistaken for it."""

    pid: int
    started: float


@dataclass(slots=True)
class Run:
    """What one run publishes. `ports` has further services by name (such as the worker's metrics)."""

    folder: Path
    kafka: str = ""
    postgres_dsn: str = ""
    servers: list[Server] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def publish(self) -> None:
        """Write `run.json` whole (atomic rename), readable by its owner only."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        draft = self.folder / f".{_RUN_FILE}.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content, indent=1) + "\n")
        draft.replace(self.folder / _RUN_FILE)


def read(folder: Path) -> Run | None:
    """The run published in `folder`, or None when there is none (yet)."""
    try:
        content = json.loads((folder / _RUN_FILE).read_text())
        servers = [Server(**server) for server in content.pop("servers")]
        return Run(folder=folder, servers=servers, **content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def new_run(home: Path, *, keep: bool = False) -> Iterator[Run]:
    """A run in a new folder under `home`, which is removed at the end unless `keep`; dead runs are swept first.

    Raises StartError when `home` cannot be used.
    """
    try:
        folder, lock = _claim(home.absolute() / "runs")
    except OSError as error:
        raise StartError(f"cannot use OTB_HOME={home}: {error.strerror}") from error
    try:
        yield Run(folder)
    finally:
        if keep:
            (folder / "kept").touch()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _claim(runs: Path) -> tuple[Path, int]:
    """A new folder and its lock, taken; nobody sweeps it in between."""
    runs.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(runs):
        _sweep(runs)
        now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        folder = runs / f"{now}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        lock = _open_lock(folder)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def live_runs(home: Path) -> list[Run]:
    """Published runs whose owner lives, newest first."""
    found = [read(folder) for folder in sorted(_folders(home / "runs"), reverse=True) if is_live(folder)]
    return [run for run in found if run is not None]


def is_live(folder: Path) -> bool:
    """Whether the owner of the folder still lives: then it holds the lock."""
    try:
        lock = _open_lock(folder)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _open_lock(folder: Path) -> int:
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time; the kernel lets the next one in, however the one before has ended."""
    lock = _open_lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _folders(runs: Path) -> list[Path]:
    return [path for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []


def _sweep(runs: Path) -> None:
    """End the leftover servers of dead runs and remove their folders; kept ones stay, without servers."""
    for folder in _folders(runs):
        if is_live(folder):
            continue
        run = read(folder)
        _end_leftovers(folder, run.servers if run else ())
        if not (folder / "kept").exists():
            shutil.rmtree(folder, ignore_errors=True)


def describe(pid: int) -> Server:
    """A running process as written down; raises psutil.NoSuchProcess."""
    return Server(pid, psutil.Process(pid).create_time())


def _end_leftovers(folder: Path, servers: Sequence[Server]) -> None:
    """Kill the servers that outlived their run: same id, same start time, and our folder on the command line."""
    for server in servers:
        with suppress(psutil.Error):
            process = psutil.Process(server.pid)
            same_start = abs(process.create_time() - server.started) < 1
            if same_start and any(str(folder) in word for word in process.cmdline()):
                process.kill()
                process.wait(5)
