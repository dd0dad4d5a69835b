"""Histories of the loop over a broker in memory; see the package for what is real in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.history import History
from tests.simulation.mutations import MUTATIONS, Mutation, mutated
from tests.simulation.playing import Found, kept_seeds, play, schedule_of

HISTORIES = 200
ENOUGH = 500
"""Within as many histories every mutation must be found; most need a few dozen."""


def test_without_faults_everything_is_decided_once() -> None:
    for seed in range(10):
        history = History(seed, faults=False)
        history.run()
        assert history.broker.committed > 0


def test_whatever_goes_wrong_everything_is_decided_once() -> None:
    histories = [play(seed) for seed in [*kept_seeds(), *range(HISTORIES)]]
    happened = {fault for history in histories for fault in history.happened}
    assert happened == {fault.__name__ for fault in KINDS}
    assert all(sum(history.done()[what] for history in histories) > HISTORIES / 10 for what in histories[0].done())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_wrong_code_is_found(mutation: Mutation) -> None:
    with mutated(mutation), pytest.raises(AssertionError):
        _run(range(mutation.first, mutation.first + ENOUGH), mutation.shape)


@pytest.mark.parametrize("shape", dict.fromkeys(each.shape for each in MUTATIONS), ids=lambda shape: shape.__name__)
def test_the_kind_of_history_that_found_a_mutation_goes_well_without_it(shape: Callable[[History], None]) -> None:
    _run(range(150, 200), shape)


def _run(seeds: range, shape: Callable[[History], None]) -> None:
    for seed in seeds:
        history = History(seed)
        shape(history)
        history.run()


def test_what_goes_wrong_is_told_with_its_seed_and_schedule() -> None:
    mutation = MUTATIONS[1]
    with mutated(mutation), pytest.raises(Found) as found:
        play(mutation.first)
    told = str(found.value)
    assert f"--seed {found.value.seed} " in told
    assert "worker-0 agent after" in told


def test_a_seed_is_the_same_history_in_every_process() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "16", "--trace"]
    other = subprocess.run(
        command, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True, timeout=60
    )
    assert other.stdout.splitlines() == schedule_of(16)


def test_a_mutation_of_code_that_has_changed_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="does not stand once"),
        mutated(Mutation("gone", History, "run", "no such", "")),
    ):
        pass
