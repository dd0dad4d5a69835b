"""Generator processes: their errors reach the one who started them, and none outlives the block."""

from __future__ import annotations

import os
import signal

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from loadtest.clients import Unreachable
from loadtest.runs import profile as profiles
from loadtest.runs.crew import Crew, GeneratorDied
from loadtest.runs.plan import LoadTest, jobs
from topics.cluster import Cluster

NOBODY = "127.0.0.1:9"


def crew(processes: int) -> Crew:
    test = LoadTest(profiles.steady(20, 1, 0), accounts=10, processes=processes)
    return Crew(jobs(Cluster(NOBODY), test, "s1", 1_800_000_000_000), lambda _what, _done, _total: None)


def test_an_error_of_a_generator_is_raised_here_as_it_was_there() -> None:
    with crew(2) as started:
        pids = started.pids
        with pytest.raises(Unreachable, match=r"no Kafka broker answers at 127\.0\.0\.1:9"):
            started.wait_ready()
    assert len(set(pids)) == 2
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_killed_generator_is_named() -> None:
    with crew(2) as started:
        os.kill(started.pids[1], signal.SIGKILL)
        with pytest.raises(GeneratorDied, match="generator process 1 ended with status -9"):
            started.wait_ready()
