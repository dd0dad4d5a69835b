"""What cardholders and the issuer change: limits, statuses, cards, controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Plan
from loadtest.traffic.labels import Labelled
from loadtest.traffic.prices import price
from loadtest.traffic.spender import Spender
from models.messages import (
    AccountStatusChanged,
    AccountStatusName,
    CardStatusChanged,
    CardStatusName,
    ControlsSet,
    CreditLimitChanged,
    ListRule,
    VelocityRule,
)

_LIMIT_STEP: Final = 50_000  # US cents
_LEAST_DAILY_AMOUNT: Final = 100_000
"""Of a control, US cents."""


class Servicing:
    """Plans and sends what changes accounts. `share` counts events per authorisation request, whoever is concerned."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan, accounts: Sequence[Spender]) -> None:
        self._rng, self._agenda, self._accounts = rng, agenda, accounts
        self._run, self._currency = plan.run, plan.currency
        self._requests_per_ms = len(accounts) * plan.per_day / DAY_MS
        self._lost = 0

    def start(self, start_ms: int) -> None:
        """Plan the first event of every kind."""
        rng = self._rng
        for account in self._accounts:
            if rng.random() < shares.CONTROLLED:
                account.controlled = True
                self._agenda.plan(start_ms + int(rng.uniform(0, 6) * HOUR_MS), self._set_controls, account)
        for act, share in (
            (self._change_limit, shares.LIMIT_CHANGED),
            (self._block, shares.BLOCKED),
            (self._freeze_card, shares.CARD_FROZEN),
            (self._lose_card, shares.CARD_LOST),
        ):
            self._again(start_ms, act, share)

    def _again(self, at: int, act: Callable[[int, None], Labelled | None], share: float) -> None:
        self._agenda.plan(at + 1 + int(self._rng.expovariate(share * self._requests_per_ms)), act)

    def _someone(self, at: int) -> Spender | None:
        """Any account whose card is at hand; None when the one picked has lost it, or cannot use it just now."""
        account = self._rng.choice(self._accounts)
        return None if account.lost or at < account.blocked_until else account

    def _id(self, letter: str) -> str:
        return f"{self._run}-{letter}{self._agenda.number()}"

    # -- limits ------------------------------------------------------------------------------------------------------

    def _change_limit(self, at: int, _: None) -> Labelled | None:
        """Four in five go up; nobody's limit falls below half of the first."""
        self._again(at, self._change_limit, shares.LIMIT_CHANGED)
        rng, account = self._rng, self._rng.choice(self._accounts)
        factor = rng.uniform(1.1, 1.5) if rng.random() < 0.8 else rng.uniform(0.7, 0.95)
        first = account.person.credit_limit
        step = price(_LIMIT_STEP, self._currency)
        limit = round(min(max(account.limit * factor, first / 2), first * 4) / step) * step
        account.limit = max(limit, step)
        return Labelled(
            CreditLimitChanged(
                "credit-limit-changed", 1, self._id("l"), account.person.account_id, account.limit, self._currency, at
            )
        )  # fmt: skip

    # -- statuses ----------------------------------------------------------------------------------------------------

    def _block(self, at: int, _: None) -> Labelled | None:
        self._again(at, self._block, shares.BLOCKED)
        account = self._someone(at)
        if account is None:
            return None
        account.blocked_until = at + int(self._rng.uniform(0.5, 12) * HOUR_MS)
        self._agenda.plan(account.blocked_until, self._unblock, account)
        return account_status(self._run, self._agenda, at, account, "frozen")

    def _unblock(self, at: int, account: Spender) -> Labelled:
        return account_status(self._run, self._agenda, at, account, "active")

    def _freeze_card(self, at: int, _: None) -> Labelled | None:
        self._again(at, self._freeze_card, shares.CARD_FROZEN)
        account = self._someone(at)
        if account is None:
            return None
        account.blocked_until = at + int(self._rng.uniform(0.1, 8) * HOUR_MS)
        self._agenda.plan(account.blocked_until, self._thaw_card, account)
        return self._card(at, account, "frozen")

    def _thaw_card(self, at: int, account: Spender) -> Labelled:
        return self._card(at, account, "active")

    def _lose_card(self, at: int, _: None) -> Labelled | None:
        """The card never works again, and its holder knows."""
        self._again(at, self._lose_card, shares.CARD_LOST)
        account = self._someone(at)
        if account is None or self._lost + 1 > len(self._accounts) * shares.MOST_LOST:
            return None
        self._lost += 1
        account.lost = True
        self._agenda.plan(at + int(self._rng.uniform(1, 10) * DAY_MS), self._close_card, account)
        return self._card(at, account, "lost" if self._rng.random() < 0.6 else "stolen")

    def _close_card(self, at: int, account: Spender) -> Labelled:
        return self._card(at, account, "closed")

    def _card(self, at: int, account: Spender, status: CardStatusName) -> Labelled:
        person = account.person
        return Labelled(
            CardStatusChanged(
                "card-status-changed", 1, self._id("c"), person.account_id, person.card_token, status, at
            )
        )  # fmt: skip

    # -- controls ----------------------------------------------------------------------------------------------------

    def _set_controls(self, at: int, account: Spender) -> Labelled:
        """Generous ones: they rarely stop their own cardholder."""
        rng, person = self._rng, account.person
        self._agenda.plan(at + int(rng.uniform(3, 20) * DAY_MS), self._set_controls, account)
        message = ControlsSet("controls-set", 1, self._id("k"), person.account_id, at)
        if rng.random() < 0.4:
            message.card_token = person.card_token
        draw = rng.random()
        if draw < 0.5:
            message.velocity = _velocity(rng, account, price(_LEAST_DAILY_AMOUNT, self._currency))
        if draw > 0.4:
            message.lists = [_RULES[int(rng.random() * len(_RULES))]]
        message.atm = rng.random() < 0.7
        return Labelled(message)


def _velocity(rng: Random, account: Spender, least: int) -> list[VelocityRule]:
    """Many in a minute is a thief; a day and a month have an end."""
    return [
        VelocityRule("minute", "trailing", 60, max_count=rng.randint(5, 8)),
        VelocityRule("day", "day", max_count=40, max_amount=max(account.limit // 2, least)),
        VelocityRule("month", "month", max_amount=account.limit * 2),
    ]


_RULES: Final = (
    ListRule("no-gambling", "mcc", "deny", ["7995", "6051"]),
    ListRule("no-magstripe", "entry-mode", "deny", ["magstripe"]),
    ListRule("not-there", "country", "deny", ["TH", "ZA", "BR"]),
)


def account_status(run: str, agenda: Agenda, at: int, account: Spender, status: AccountStatusName) -> Labelled:
    """The issuer gives the account another status."""
    message_id, account_id = f"{run}-s{agenda.number()}", account.person.account_id
    return Labelled(AccountStatusChanged("account-status-changed", 1, message_id, account_id, status, at))
