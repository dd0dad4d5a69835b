"""How cardholders pay: once a month a statement is made, 23 days later it is due, and habits decide what follows.

* *full*: all of the statement; *revolver*: 20 to 70 % of it; *minimum*: 3 %, at least 25.00.
* Late: 1 to 20 days after the due date. An account that is twelve days late is blocked until its payment has come.
* Returned by the bank for lack of funds: such a payment never reaches us (the engine posts money that has come). Most
  try again within a week; the others are blocked as above and pay weeks later.
* Early: who owes more than 80 % of the limit pays a good part within days.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HABITS, Plan
from loadtest.traffic.labels import AFTER_RETURN, EARLY, FULL, LATE, LEAST, PARTIAL, Labelled
from loadtest.traffic.prices import price
from loadtest.traffic.servicing import account_status
from loadtest.traffic.spender import Spender
from models.messages import PaymentReceived

DUE_DAYS: Final = 23
"""At least 21 by law in the US (Regulation Z, 12 CFR 1026.5(b)(2)(ii))."""
_MONTH_MS: Final = int(30.44 * DAY_MS)
_KIND: Final = dict(zip(HABITS, (FULL, PARTIAL, LEAST), strict=True))
_BOUNCED: Final = dict(zip(HABITS, shares.BOUNCED, strict=True))


@dataclass(slots=True)
class _Bill:
    account: Spender
    amount: int
    due: int  # ms
    kind: str
    may_bounce: bool = True


class Payments:
    """Plans and sends payments, and the blocks and releases of those who do not pay."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan) -> None:
        self._rng, self._agenda = rng, agenda
        self._run, self._currency = plan.run, plan.currency

    def start(self, start_ms: int, account: Spender) -> None:
        """Plan the first statement."""
        self._agenda.plan(start_ms + account.person.statement_day * DAY_MS, self._statement, account)

    def early(self, at: int, account: Spender) -> None:
        """The limit is near: plan a payment before its time."""
        account.early = True
        self._agenda.plan(at + int(self._rng.uniform(0.5, 4) * DAY_MS), self._pay_early, account)

    def _statement(self, at: int, account: Spender) -> None:
        rng, person = self._rng, account.person
        self._agenda.plan(at + _MONTH_MS, self._statement, account)
        balance = account.owed
        if balance < 1:
            return
        due, kind = at + DUE_DAYS * DAY_MS, _KIND[person.habit]
        when = at + int(rng.uniform(2, DUE_DAYS) * DAY_MS)
        if rng.random() < person.careless:
            kind, when = LATE, due + int(rng.uniform(1, 20) * DAY_MS)
        amount = balance
        if person.habit == "revolver":
            amount = int(balance * rng.uniform(0.2, 0.7))
        elif person.habit == "minimum":
            amount = max(int(balance * shares.MINIMUM), price(shares.LEAST_PAYMENT, self._currency))
        self._expect(when, _Bill(account, max(1, min(amount, balance)), due, kind))

    def _expect(self, when: int, bill: _Bill) -> None:
        """The payment comes at `when`; if that is too late, a block comes before it."""
        blocked = bill.due + int(shares.BLOCKED_LATE_DAYS * DAY_MS)
        if when > blocked:
            self._agenda.plan(blocked, self._block, (bill.account, when + 60_000))
        self._agenda.plan(when, self._pay, bill)

    def _pay(self, at: int, bill: _Bill) -> Labelled | None:
        rng, account = self._rng, bill.account
        if bill.may_bounce and rng.random() < _BOUNCED[account.person.habit]:
            days = rng.uniform(2, 7) if rng.random() < shares.TRIED_AGAIN else rng.uniform(25, 50)
            self._expect(at + int(days * DAY_MS), _Bill(account, bill.amount, bill.due, AFTER_RETURN, may_bounce=False))
            return None
        return self._receive(at, account, bill.amount, bill.kind)

    def _pay_early(self, at: int, account: Spender) -> Labelled | None:
        account.early = False
        amount = int(account.owed * self._rng.uniform(0.5, 0.95))
        return self._receive(at, account, amount, EARLY) if amount >= 1 else None

    def _receive(self, at: int, account: Spender, amount: int, kind: str) -> Labelled:
        account.owed -= amount
        message_id = f"{self._run}-y{self._agenda.number()}"
        message = PaymentReceived(
            "payment-received", 1, message_id, account.person.account_id, amount, self._currency, at
        )  # fmt: skip
        return Labelled(message, payment=kind)

    def _block(self, at: int, subject: tuple[Spender, int]) -> Labelled | None:
        account, until = subject
        if account.lost or at < account.blocked_until or until <= at:
            return None
        account.blocked_until = until
        self._agenda.plan(until, self._release, account)
        return account_status(self._run, self._agenda, at, account, "delinquent-blocked")

    def _release(self, at: int, account: Spender) -> Labelled:
        return account_status(self._run, self._agenda, at, account, "active")
