"""How long a beginning waits for the end before it, learned from a broker that refuses what comes too early."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from topics.transport.settling import FIRST_S, LONGEST_S, SHORTEST_S, Settling


def test_nothing_waits_before_a_transaction_has_ended() -> None:
    settling = Settling()
    assert settling.left(5.0) == 0
    settling.begun(5.0)
    settling.refused()
    assert settling.wait == FIRST_S, "that refusal had another reason"


def test_a_beginning_waits_for_what_is_left() -> None:
    settling = Settling()
    settling.ended(5.0)
    assert settling.left(5.0 + FIRST_S / 4) == pytest.approx(FIRST_S * 3 / 4)
    assert settling.left(5.0 + FIRST_S) == pytest.approx(0)
    assert settling.left(6.0) == 0


def test_a_refusal_counts_once_for_each_beginning() -> None:
    settling = Settling()
    settling.ended(5.0)
    settling.begun(5.001)
    settling.refused()
    settling.refused()
    grown = settling.wait
    assert FIRST_S < grown < 1.5 * FIRST_S
    settling.ended(5.01)
    assert settling.wait == grown, "a refused one does not shrink it"


def test_a_beginning_that_came_late_anyway_says_nothing() -> None:
    settling = Settling()
    for round_ in range(1, 100):
        settling.ended(round_)
        settling.begun(round_ + 0.5)
        settling.refused() if round_ % 2 else None
    assert settling.wait == FIRST_S


def test_the_wait_has_bounds() -> None:
    assert played(lambda: 1.0, 500).wait == LONGEST_S
    assert played(lambda: 0.0, 500).wait == SHORTEST_S


@pytest.mark.parametrize("takes", [0.000_5, 0.002, 0.005])
def test_few_are_refused_and_few_wait_longer_than_they_must(takes: float) -> None:
    rng = random.Random(7)
    settling = played(lambda: takes * rng.uniform(0.8, 1.2), 200)
    refused, waits = 0, []
    for _ in range(1000):
        refused += not once(settling, takes * rng.uniform(0.8, 1.2))
        waits.append(settling.wait)
    assert refused < 150
    assert max(waits) < 2 * takes


def played(takes: Callable[[], float], times: int) -> Settling:
    settling = Settling()
    for _ in range(times):
        once(settling, takes())
    return settling


def once(settling: Settling, takes: float) -> bool:
    """A transaction that begins as early as it may after the last, whose markers took `takes`; whether it could."""
    settling.ended(0.0)
    begins = settling.left(0.0)
    settling.begun(begins)
    if begins < takes:
        settling.refused()
    return begins >= takes
