"""What the generator believes about an account while its traffic goes on; it sees no decisions."""

from __future__ import annotations

from typing import Final

from loadtest.traffic.cardholders import Cardholder

REMEMBERED: Final = 24
"""Presented purchases within which a refund or dispute may name one. The engine remembers 32."""


class Spender:
    """A cardholder's changing state."""

    __slots__ = (
        "blocked_until", "controlled", "early", "guarded_until", "limit", "lost", "owed", "person", "presented",
    )  # fmt: skip

    def __init__(self, person: Cardholder) -> None:
        self.person = person
        self.owed = 0  # minor units: what is, or is planned to be, presented and not yet paid
        self.limit = person.credit_limit
        self.blocked_until = 0  # account or card frozen up to then
        self.guarded_until = 0  # the card is good for one purchase or one merchant
        self.controlled = False  # has controls of its own
        self.early = False  # a payment before its time is on its way
        self.lost = False  # the card is gone, and with it all traffic
        self.presented = 0  # presentments so far

    def remembers(self, ordinal: int) -> bool:
        """Whether the engine surely still knows the purchase that was the `ordinal`-th presented."""
        return self.presented - ordinal < REMEMBERED
