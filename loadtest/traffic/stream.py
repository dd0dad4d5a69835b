"""The traffic itself: an endless, reproducible stream of labelled messages in the order of simulated time.

Accounts are played in blocks (`block.py`), window after window; what the blocks say is merged by time. Fraud plans its
campaigns over all accounts (`fraud.py`). How often each thing happens stands in `shares.py`.

What the traffic does wrong, on purpose: requests of unknown cards and accounts, with an old expiry, on expired cards
and blocked accounts; messages sent twice; reversals that overtake their request; presentments without the network's
reference, after a decline or long after the hold ended; a linked refund sent twice, or beside a chargeback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final

from loadtest.traffic.agenda import Said
from loadtest.traffic.block import Block
from loadtest.traffic.cardholders import BLOCK, HOUR_MS, USUAL_PER_DAY, Plan, cardholders
from loadtest.traffic.fraud import Campaigns, Charge
from loadtest.traffic.labels import Labelled
from loadtest.traffic.merchants import World
from models.messages import AccountOpened
from models.money import exponent

_RUN: Final = re.compile(r"[A-Za-z0-9._:-]{1,32}")


class Traffic:
    """Reproducible traffic of `accounts` cardholders from `start_ms` on; equal arguments give equal messages.

    `run` (letters, digits, `._:-`, 32 at most) starts every identifier, so runs never collide. Together the accounts
    make about `authorizations_per_account_day` requests each per simulated day, retries and fraud included.
    Raises ValueError naming the argument that makes no sense.
    """

    def __init__(
        self,
        seed: int,
        accounts: int,
        run: str,
        currency: str = "USD",
        start_ms: int = 1_767_225_600_000,
        authorizations_per_account_day: float = USUAL_PER_DAY,
    ) -> None:
        if accounts < 1:
            raise ValueError(f"accounts must be at least 1, not {accounts}")
        if not 0 < authorizations_per_account_day <= 1000:
            raise ValueError("authorizations_per_account_day must be above 0 and at most 1000")
        if not _RUN.fullmatch(run):
            raise ValueError(f"run must have 1 to 32 letters, digits or any of ._:-, not {run!r}")
        exponent(currency)  # unknown currency: raises
        self.plan = Plan(seed, accounts, run, currency, start_ms, authorizations_per_account_day)
        self.world = World(seed)
        self.people = cardholders(self.plan)

    def openings(self) -> Iterator[AccountOpened]:
        """One opening per account, dated `start_ms`."""
        plan = self.plan
        for person in self.people:
            yield AccountOpened(
                "account-opened", 1, f"{plan.run}-open-{person.number:06d}", person.account_id, person.card_token,
                person.card_expiry, person.credit_limit, plan.currency, person.home, plan.start_ms, person.time_zone,
            )  # fmt: skip

    def stream(self) -> Iterator[Labelled]:
        """The endless traffic after the openings; every call starts it anew."""
        for window in self.windows(range(self.plan.blocks)):
            for _at, item in merged(window):
                yield item

    def windows(self, blocks: Sequence[int]) -> Iterator[list[list[Said]]]:
        """Window after window of `plan.window_hours`: what each of these blocks says in it."""
        plan = self.plan
        players = [Block(plan, self.world, self.people, number) for number in blocks]
        campaigns = Campaigns(plan, self.world, self.people)
        hours = plan.window_hours
        start = plan.start_ms // HOUR_MS
        start -= start % hours
        while True:
            charges: dict[int, list[Charge]] = {}
            for charge in campaigns.until((start + hours) * HOUR_MS):
                charges.setdefault(charge.cardholder.number // BLOCK, []).append(charge)
            yield [
                player.advance(start, hours, charges.get(number, ()))
                for number, player in zip(blocks, players, strict=True)
            ]
            start += hours


def merged(window: list[list[Said]]) -> list[Said]:
    """In the order of time; what is said at one instant, in the order of the blocks."""
    return sorted((said for block in window for said in block), key=itemgetter(0))
