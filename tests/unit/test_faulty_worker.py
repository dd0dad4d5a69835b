"""How often a worker that hurts itself does so."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.support.faulty_worker import Fault


@pytest.fixture
def hurt(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    did: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: did.append(number))
    monkeypatch.setattr(time, "sleep", did.append)
    return did


def visits(plan: str, hurt: list[Any]) -> list[int]:
    """At which visits of the step it hurt."""
    fault, found = Fault(plan), []
    for visit in range(1, 6):
        fault("other")
        fault("decide")
        if hurt:
            found.append(visit)
            hurt.clear()
    return found


def test_a_worker_that_froze_and_was_woken_does_not_freeze_again(hurt: list[Any]) -> None:
    """It stood still in the middle of a campaign until somebody came to its help."""
    assert visits("STOP:decide:2", hurt) == [2]


def test_one_that_hangs_for_a_while_does_so_again(hurt: list[Any]) -> None:
    assert visits("HANG:decide:3:4", hurt) == [3, 4, 5]
