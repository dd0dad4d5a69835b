"""Producers' clocks go wrong: a quarter of the messages is stamped minutes before or after its time.

What is dated too far ahead must end in the dead letters as that, and hold nothing up; everything else is decided.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.campaign.clock import Error
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held
from tests.chaos.campaign.history import MAX_FUTURE_MS
from tests.chaos.campaign.world import World

WRONG_S: Final = (6.0, 9.0)
MINUTE_MS: Final = 60_000
MARGIN_MS: Final = MINUTE_MS
"""Nearer to the limit it would depend on how long a record is on its way whether it is within."""


def behind(random: Random) -> int:
    """1 to 15 minutes."""
    return -random.randrange(MINUTE_MS, 15 * MINUTE_MS)


def ahead(random: Random) -> int:
    """As often within what is accepted as beyond, up to a day."""
    if random.random() < 0.5:
        return random.randrange(1000, MAX_FUTURE_MS - MARGIN_MS)
    return random.randrange(MAX_FUTURE_MS + MARGIN_MS, 24 * 60 * MINUTE_MS)


@dataclass(frozen=True)
class ClockWrong:
    """For some seconds, while everything else goes on."""

    name: str
    what: str
    error: Error
    proof: Proof = "undisturbed"
    lasts_s: float = 10.0

    def strike(self, world: World, random: Random) -> Damage:
        at = time.time()
        world.clock.set_wrong(random, self.error)
        try:
            lasted = held(world, random.uniform(*WRONG_S))
        finally:
            world.clock.set_right()
        wrong, beyond = world.clock.wrong, world.clock.beyond
        assert wrong > 0, "nothing was sent meanwhile"
        return Damage(at, at + lasted, note=f"{wrong} messages stamped wrong, {beyond} of them too far ahead")


FAULTS: Final[list[Fault]] = [
    ClockWrong(
        "clock-behind", "the clock of a quarter of the load's messages and records is 1 to 15 minutes behind", behind
    ),
    ClockWrong(
        "clock-ahead",
        "the clock of a quarter of the load's messages and records is ahead, for half of them by more than is accepted "
        "(5 minutes), up to a day",
        ahead,
    ),
]
