"""Ends a worker that stands still: input waits, and for a whole deadline no slice was finished.

A worker that hangs is worse than one that ends: its heartbeats go on, so it keeps its partitions and nobody else
decides. The watchdog is a thread of its own, because the event loop may be what stands still. It cannot help against
native code that never gives the interpreter back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 0.5


class Watchdog:
    """Counts the seconds in which input waited and nothing was finished; `stalled_s` says how many."""

    def __init__(
        self,
        deadline_s: float,
        waits: Callable[[], bool],
        finished: Callable[[], int],
        end: Callable[[str], object],
    ) -> None:
        """`waits`: is there input that could be decided; `finished`: slices done with so far; `end` is told why.

        They are called in the watchdog's thread, and must not wait for the event loop."""
        self._deadline_s = deadline_s
        self._waits = waits
        self._finished = finished
        self._end = end
        self._seen = -1
        self.armed = False  # while tables are restored there is nothing to decide, and recovery has its own deadline
        self.stalled_s = 0.0

    def start(self) -> None:
        """Look until the process ends."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def look(self, elapsed_s: float) -> None:
        """One look, `elapsed_s` after the last. A longer gap than two looks is this process's own sleep (it was frozen,
        or the machine was): nobody could decide then, so it does not count."""
        finished = self._finished()
        if not self.armed or finished != self._seen or not self._waits():
            self._seen, self.stalled_s = finished, 0.0
            return
        self.stalled_s += min(elapsed_s, 2 * LOOK_S)
        if self.stalled_s >= self._deadline_s:
            self._end(f"nothing was decided for {self._deadline_s:.0f} s while input waited")

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(LOOK_S)
            now = time.monotonic()
            self.look(now - last)
            last = now
