"""Keeps every session of a server as nice as the server itself.

Where Linux groups what it schedules by session, the niceness of a session counts, and a new one begins without any.
PostgreSQL begins one for each of its processes, so what its launch was told (launch.py) holds for the first alone: a
session that posts would get as much of a core as a worker that decides. Nothing makes them inherit it, so they are
looked for, and told a moment after they have begun.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Final

from deploy.embedded.launch import session_gives_way

LOOK_S: Final = 0.5


class NiceSessions:
    """Those of the processes that `server` (a process id) has begun, from `start` to `stop`."""

    def __init__(self, server: int, niceness: int) -> None:
        self._server = server
        self._niceness = niceness
        self._told: set[int] = set()
        self._stopping = Event()
        self._thread = Thread(target=self._look_on, name="nice-sessions", daemon=True)

    def start(self) -> None:
        """Look for them from now on, where the system has such groups."""
        if self._niceness and Path("/proc/self/autogroup").exists():
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look_on(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        there = _begun_by(self._server)
        self._told &= there  # ids are used again
        self._told |= {process for process in there - self._told if session_gives_way(process, self._niceness)}


def _begun_by(server: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split()))
    except OSError:  # it has ended
        return set()
