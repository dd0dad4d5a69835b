"""A broker's housekeeping leaves a core to those whose answers are waited for.

The JVM's compilers and the log cleaner have no deadline, and want a whole core for as long as they have something to
do: half a second for the changelog of four partitions, and as long again for what the cleaner's code is compiled to
meanwhile. A worker that stays on one core cannot get out of their way, so they get out of its: they stay on the others,
and there the cleaner comes after everybody else.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

CLEANER: Final = "kafka-log-clean"
HOUSEKEEPERS: Final = frozenset({CLEANER, "C1 CompilerThre", "C2 CompilerThre"})
"""Names of threads as Linux keeps them, 15 characters. Compilers that the JVM starts later are started by these, and
stay where they do."""
LAST: Final = 19
"""The most that a thread can give way to others."""


def keep_off(broker: int, core: int) -> None:
    """The housekeeping threads of a process leave `core` to others, where there is another to stay on, and its cleaner
    comes last. Without effect where the system does not tell threads apart."""
    for thread, name in _threads(broker):
        if name in HOUSEKEEPERS:
            with suppress(ProcessLookupError):  # ended since
                if others := os.sched_getaffinity(thread) - {core}:
                    os.sched_setaffinity(thread, others)
                if name == CLEANER:
                    os.setpriority(os.PRIO_PROCESS, thread, LAST)


def _threads(process: int) -> list[tuple[int, str]]:
    """(id, name) of each thread; none where there is no such process, or no such folder."""
    found = []
    for folder in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            found.append((int(folder.name), (folder / "comm").read_text().rstrip("\n")))
    return found
