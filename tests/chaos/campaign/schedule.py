"""Which fault comes when. The same seed, length and faults give the same schedule, on every machine."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 4.0
"""Seconds of undisturbed load before the first fault."""
GAP_S: Final = (1.0, 4.0)
"""Shortest and longest pause between two faults, in seconds."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """A fault that is due `at_s` seconds after the load began; `seed` draws everything that it leaves open."""

    at_s: float
    fault: str
    seed: int


def schedule(seed: int, length_s: float, lasting: Mapping[str, float]) -> list[Appointment]:
    """Appointments within `length_s` seconds, in time order. `lasting`: fault -> about how many seconds it takes.

    Faults are dealt like cards: each comes once, in random order, before any comes again. So one that would not end in
    time is not swapped for a shorter one: the schedule ends there. Raises ValueError when there is no fault to deal.
    """
    if not lasting:
        raise ValueError("a schedule needs at least one fault")
    drawn = random.Random(f"{seed}/{length_s}")
    appointments: list[Appointment] = []
    at_s = FIRST_S
    while True:
        deck = sorted(lasting)
        drawn.shuffle(deck)
        for fault in deck:
            if at_s + lasting[fault] > length_s:
                return appointments
            appointments.append(Appointment(round(at_s, 1), fault, drawn.randrange(2**32)))
            at_s += lasting[fault] + drawn.uniform(*GAP_S)
