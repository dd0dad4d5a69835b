"""Producers' clocks go wrong: a quarter of the messages is stamped minutes before or after its time.

What is dated too far ahead must end in the dead letters as that, and hold nothing up; everything else is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.campaign.clock import Error
from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, outage
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
        clock, seconds = world.clock, random.uniform(*WRONG_S)
        damage = outage(world, seconds, lambda: clock.set_wrong(random, self.error), clock.set_right)
        assert clock.wrong > 0, "nothing was sent meanwhile"
        note = f"{clock.wrong} messages stamped wrong, {clock.beyond} of them too far ahead"
        return Damage(damage.at, damage.since, note=note)


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
