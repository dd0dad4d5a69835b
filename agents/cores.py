"""On which core a worker's threads stay.

Python runs one of them at a time. Where the kernel moves them about, each finds in its core's cache what it does not
need, and beside servers on the same machine they push each other out of the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable


class UnusableCore(ValueError):
    """This process may not use that core; the message names those it may."""


def usable() -> set[int]:
    """Cores that this process may use; none where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def spare() -> int | None:
    """The core for a worker beside servers of its own: the last one; None where there is but one."""
    cores = usable()
    return max(cores) if len(cores) > 1 else None


def beside_servers(told: int | None) -> int | None:
    """Where a worker stays that has servers of its own beside it: where it is told, else on the spare core."""
    return spare() if told is None else told


def stay_on(core: int | None, begin_beside: Callable[[], None] = lambda: None) -> None:
    """From now on this thread, and those it starts, run there; None: anywhere. Threads that `begin_beside` starts run
    on the other cores, if there are any. Raises UnusableCore."""
    if core is None:
        return
    cores = usable()
    if core not in cores:
        raise UnusableCore(f"this process may use cores {', '.join(map(str, sorted(cores))) or 'that are not told'}")
    others = cores - {core}
    if others:
        os.sched_setaffinity(0, others)
        begin_beside()
    os.sched_setaffinity(0, {core})
