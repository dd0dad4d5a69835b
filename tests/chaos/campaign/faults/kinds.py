"""What a fault is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from tests.chaos.campaign.world import World

Proof = Literal["decisions", "undisturbed", "postings", "reading"]
"""What shows that it is over: every partition decides again, the ledger grows again, or a slow reader has caught up. In
all but the first, decisions go on at their rate meanwhile."""


@dataclass(frozen=True, slots=True)
class Damage:
    """When a fault struck and when it was over, in seconds since the epoch. Whatever is decided after `since` is
    decided by a worker that has recovered (or has taken over); `held_s`: how long an outage was held on purpose;
    `note`: what exactly was done, where chance decided."""

    at: float
    since: float
    held_s: float = 0.0
    note: str = ""


class Fault(Protocol):
    """`strike` hurts one thing and does what an operator's tools would do about it; it raises
    AssertionError when they cannot. `lasts_s`: about how long until all is well, for the schedule."""

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str: ...

    @property
    def proof(self) -> Proof: ...

    @property
    def lasts_s(self) -> float: ...

    def strike(self, world: World, random: Random) -> Damage: ...


def held(world: World, seconds: float) -> float:
    """Let an outage last; how long it did."""
    begun = time.monotonic()
    world.wait(seconds)
    return time.monotonic() - begun


def outage(world: World, seconds: float, begin: Callable[[], None], end: Callable[[], None]) -> Damage:
    """Begin it, let it last, and end it whatever happens."""
    at = time.time()
    begin()
    try:
        held_s = held(world, seconds)
    finally:
        since = time.time()
        end()
    return Damage(at, since, held_s)


def until(world: World, seconds: float, done: Callable[[], bool], otherwise: str) -> None:
    """Wait for something that the fault itself has to bring about; raises AssertionError with `otherwise`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, otherwise
        world.wait(0.1)
