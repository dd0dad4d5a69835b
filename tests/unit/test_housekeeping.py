"""Threads of a process that leave a core to others."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.embedded.housekeeping import CLEANER, LAST, keep_off

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores and Linux"
)
PR_SET_NAME = 15


@contextmanager
def a_thread(name: str) -> Iterator[int]:
    """The system's id of a thread that Linux knows by that name."""
    begun, over = threading.Event(), threading.Event()

    def live() -> None:
        assert ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0) == 0
        begun.set()
        over.wait(60)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert begun.wait(60)
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        over.set()
        thread.join()


def test_they_stay_on_the_other_cores() -> None:
    every = os.sched_getaffinity(0)
    with a_thread("C2 CompilerThread0") as compiler, a_thread("request-handler") as other:
        keep_off(os.getpid(), max(every))
        assert os.sched_getaffinity(compiler) == every - {max(every)}
        assert os.sched_getaffinity(other) == every


def test_the_cleaner_comes_after_everybody_else_and_compilers_do_not() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with a_thread(CLEANER + "er-thread-0") as cleaner, a_thread("C1 CompilerThread0") as compiler:
        keep_off(os.getpid(), max(os.sched_getaffinity(0)))
        assert os.getpriority(os.PRIO_PROCESS, cleaner) == LAST
        assert os.getpriority(os.PRIO_PROCESS, compiler) == usual


def test_a_thread_with_one_core_stays_where_it_is() -> None:
    core = max(os.sched_getaffinity(0))
    with a_thread(CLEANER) as cleaner:
        os.sched_setaffinity(cleaner, {core})
        keep_off(os.getpid(), core)
        assert os.sched_getaffinity(cleaner) == {core}


def test_a_process_that_has_ended_is_let_be() -> None:
    keep_off(2**22 + 1, 0)  # beyond the largest id that Linux gives
