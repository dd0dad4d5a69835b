"""Histories of the loop over a broker in memory; see the package for what is real in them."""

from __future__ import annotations

from tests.simulation.history import History


def test_without_faults_everything_is_decided_once() -> None:
    for seed in range(20):
        history = History(seed, faults=False)
        history.run()
        assert history.broker.committed > 0
