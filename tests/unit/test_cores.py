"""A worker stays on the core it is told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agents import cores
from agents.cores import UnusableCore

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")


def in_a_thread(run: Callable[[], Any]) -> Any:
    """What it gives in a thread of its own, so that those of other tests are left where they are."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_threads_that_are_started_later_stay_there_as_well() -> None:
    last = max(cores.usable())

    def stay() -> list[set[int]]:
        cores.stay_on(last)
        seen = [os.sched_getaffinity(0)]
        later = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        later.start()
        later.join()
        return seen

    assert in_a_thread(stay) == [{last}, {last}]


@pytest.mark.skipif(len(cores.usable()) < 2, reason="there is one core")
def test_what_is_begun_beside_it_runs_on_the_other_cores() -> None:
    every = cores.usable()

    def stay() -> list[set[int]]:
        seen: list[set[int]] = []
        cores.stay_on(max(every), begin_beside=lambda: seen.append(os.sched_getaffinity(0)))
        return [*seen, os.sched_getaffinity(0)]

    assert in_a_thread(stay) == [every - {max(every)}, {max(every)}]


def test_where_there_is_no_other_core_nothing_is_begun_beside_it() -> None:
    only = max(cores.usable())

    def stay() -> list[str]:
        begun: list[str] = []
        os.sched_setaffinity(0, {only})
        cores.stay_on(only, begin_beside=lambda: begun.append("something"))
        return begun

    assert in_a_thread(stay) == []


def test_without_a_core_nothing_changes() -> None:
    before = os.sched_getaffinity(0)
    cores.stay_on(None)
    assert os.sched_getaffinity(0) == before


def test_a_core_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(UnusableCore, match=f"may use cores {min(cores.usable())}"):
        cores.stay_on(100_000)


@pytest.mark.parametrize(("usable", "spare"), [({0, 1}, 1), ({3}, None), ({2, 5, 7}, 7)])
def test_beside_servers_it_is_the_last_of_several(
    monkeypatch: pytest.MonkeyPatch, usable: set[int], spare: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: usable)
    assert cores.spare() == spare
    assert cores.beside_servers(None) == spare
    assert cores.beside_servers(0) == 0, "where it is told"
