"""What merchants send once the goods are gone: presentments, and for some of them a refund or a dispute.

A purchase is presented 2 to 48 hours after its approval. Returns and disputes come days, not weeks and months, after
it, because a run covers days.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Plan
from loadtest.traffic.labels import Labelled, Message
from loadtest.traffic.merchants import CATEGORIES, Merchant
from loadtest.traffic.payments import Payments
from loadtest.traffic.requests import Requests
from loadtest.traffic.spender import Spender
from models.messages import AuthorizationAdvice, AuthorizationRequest, DisputeEvent, Presentment, Refund

Stage = Literal["chargeback", "representment", "pre-arbitration", "arbitration-won", "arbitration-lost"]
_NEXT: Final[dict[Stage, tuple[Stage, float]]] = {
    "chargeback": ("representment", shares.REPRESENTED),
    "representment": ("pre-arbitration", shares.PRE_ARBITRATION),
    "pre-arbitration": ("arbitration-won", shares.ARBITRATED),
}
_OWED: Final[dict[Stage, int]] = {
    "chargeback": -1, "representment": 1, "pre-arbitration": -1, "arbitration-won": 0, "arbitration-lost": 1,
}  # fmt: skip

_SOONEST_MS: Final = 2 * HOUR_MS
_SPREAD_MS: Final = 46 * HOUR_MS
_UNUSUAL: Final = shares.UNREFERENCED + shares.LATE


@dataclass(slots=True)
class _Purchase:
    """An approval on its way through clearing. Messages are made when they are sent: many wait, so they are small."""

    account: Spender
    merchant: Merchant
    reference: str  # of the network
    rrn: str | None
    amount: int  # minor units, all that will be presented
    card_present: bool
    fraud: Labelled | None  # the truth, where it is one
    abroad: _Abroad | None = None

    def labelled(self, message: Message) -> Labelled:
        """With the truth about the purchase."""
        return Labelled(message) if self.fraud is None else self.fraud.about(message)


@dataclass(slots=True)
class _Abroad:
    """What was authorised, for the proportion, and the rate of the day it is presented."""

    authorized: int  # minor units, billing
    merchant_amount: int
    currency: str
    rate: int  # of the authorisation
    conversion: int

    def theirs(self, amount: int) -> int:
        """A billed amount in the merchant's money."""
        return max(amount * self.merchant_amount * self.rate // (self.authorized * self.conversion), 1)


@dataclass(slots=True)
class _Part:
    """A presentment that is not simply all of its purchase, under its reference."""

    purchase: _Purchase
    amount: int
    final: bool = True
    reference: str | None = None  # instead of the purchase's
    names_rrn: bool = True
    approval_code: str | None = None


@dataclass(slots=True)
class _Refund:
    purchase: _Purchase
    amount: int
    ordinal: int
    linked: bool
    twice: bool


@dataclass(slots=True)
class _Dispute:
    purchase: _Purchase
    amount: int
    ordinal: int
    stage: Stage = "chargeback"


def _returned(purchase: _Purchase) -> float:
    """Share of such purchases that come back."""
    if purchase.fraud or not CATEGORIES[purchase.merchant.category].goods:
        return 0.0
    return shares.RETURNED_SHOP if purchase.card_present else shares.RETURNED_ONLINE


class Clearing:
    """Plans and sends clearing messages."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan, requests: Requests, payments: Payments) -> None:
        self._rng, self._agenda, self._requests, self._payments = rng, agenda, requests, payments
        self._run, self._currency = plan.run, plan.currency
        self._act = self._post  # bound once: thousands wait

    # -- presentments ------------------------------------------------------------------------------------------------

    def present(self, account: Spender, truth: Labelled, merchant: Merchant, amount: int, after: int) -> None:
        """Plan the presentment, or presentments, of an authorisation; `after`: the last that was heard of it, ms."""
        random, origin = self._rng.random, truth.message
        if TYPE_CHECKING:
            assert isinstance(origin, AuthorizationRequest | AuthorizationAdvice)
        when = after + _SOONEST_MS + int(random() * _SPREAD_MS)
        purchase = _Purchase(
            account, merchant, origin.network_reference, origin.rrn, amount, origin.card_present,
            truth if truth.fraud else None,
        )  # fmt: skip
        if type(origin) is AuthorizationRequest and origin.conversion_rate is not None:
            self._exchange(purchase, origin)
        self._owe(account, purchase.amount, after)
        draw = random()
        if draw < shares.SEVERAL and amount >= 3:
            self._in_parts(purchase, when)
        elif draw > 1 - _UNUSUAL:
            self._unusual(purchase, when)
        elif type(origin) is AuthorizationAdvice and random() < 0.5:
            part = _Part(purchase, amount, reference=self._reference(), approval_code=origin.approval_code)
            self._agenda.plan(when, self._post_part, part)
        else:
            self._agenda.plan(when, self._act, purchase)

    def _owe(self, account: Spender, amount: int, at: int) -> None:
        account.owed += amount
        if account.owed > account.limit * shares.EARLY_AT and not account.early:
            self._payments.early(at, account)

    def present_offline(self, account: Spender, request: AuthorizationRequest, merchant: Merchant) -> None:
        """Nobody asked us: `request` was never sent."""
        amount = request.amount
        purchase = _Purchase(
            account, merchant, self._reference(), request.rrn, amount, request.card_present, fraud=None
        )
        self._owe(account, amount, request.transmitted_at)
        when = request.transmitted_at + int(self._rng.uniform(4, 72) * HOUR_MS)
        self._agenda.plan(when, self._post, purchase)

    def _in_parts(self, purchase: _Purchase, when: int) -> None:
        rng, rest = self._rng, purchase.amount
        for _ in range(rng.randint(1, 2)):
            if rest < 2:
                break
            amount = rng.randint(1, rest - 1)
            self._agenda.plan(when, self._post_part, _Part(purchase, amount, final=False))
            rest -= amount
            when += int(rng.uniform(1, 24) * HOUR_MS)
        self._agenda.plan(when, self._post_part, _Part(purchase, rest, final=rng.random() >= shares.UNFINISHED))

    def _unusual(self, purchase: _Purchase, when: int) -> None:
        """Late, or without the network's reference."""
        rng = self._rng
        if rng.random() * _UNUSUAL < shares.LATE:
            self._agenda.plan(when + int(rng.uniform(8, 12) * DAY_MS), self._post, purchase)
        else:
            names_rrn = rng.random() < shares.ONLY_RRN
            part = _Part(purchase, purchase.amount, reference=self._reference(), names_rrn=names_rrn)
            self._agenda.plan(when, self._post_part, part)

    def _post(self, at: int, purchase: _Purchase) -> Labelled:
        message = self._write(at, purchase, purchase.amount, purchase.reference)
        draw = self._rng.random()
        if draw < shares.RETURNED_ONLINE or draw > 1 - shares.FRAUD_CHARGED_BACK:
            self._aftermath(at, purchase, draw)
        return purchase.labelled(message)

    def _post_part(self, at: int, part: _Part) -> Labelled:
        purchase = part.purchase
        message = self._write(at, purchase, part.amount, part.reference or purchase.reference)
        message.final, message.approval_code = part.final, part.approval_code
        if not part.names_rrn:
            message.rrn = None
        if part.final and part.reference is None:
            self._aftermath(at, purchase, self._rng.random())
        return purchase.labelled(message)

    def _write(self, at: int, purchase: _Purchase, amount: int, reference: str) -> Presentment:
        account, merchant, abroad = purchase.account, purchase.merchant, purchase.abroad
        account.presented += 1
        person = account.person
        theirs = currency = conversion = None
        if abroad is not None:
            theirs, currency, conversion = abroad.theirs(amount), abroad.currency, abroad.conversion
        return Presentment(
            "presentment", 1, f"{self._run}-p{self._agenda.number()}", reference, person.account_id, amount,
            self._currency, merchant.id, merchant.name, merchant.mcc, True, at, CATEGORIES[merchant.category].kind,
            person.card_token, purchase.rrn, None, merchant.country, theirs, currency, conversion,
        )  # fmt: skip

    def _exchange(self, purchase: _Purchase, request: AuthorizationRequest) -> None:
        """Abroad, what is billed follows the rate of the day: up to 0.4 % off the authorisation's."""
        rate = request.conversion_rate
        if rate is None or request.merchant_amount is None or request.merchant_currency is None:
            return
        conversion = rate * (9_960 + int(self._rng.random() * 81)) // 10_000
        purchase.amount = max(purchase.amount * conversion // rate, 1)
        purchase.abroad = _Abroad(request.amount, request.merchant_amount, request.merchant_currency, rate, conversion)

    def _aftermath(self, at: int, purchase: _Purchase, draw: float) -> None:
        """After the last presentment that names its purchase: `draw`, uniform from 0 to 1, says what comes of it."""
        if draw < _returned(purchase):
            self._start_refund(at, purchase)
        elif draw > 1 - (shares.FRAUD_CHARGED_BACK if purchase.fraud else shares.CHARGED_BACK):
            self._start_dispute(at, purchase)

    def _reference(self) -> str:
        """A reference that names no authorisation."""
        return f"{self._run}-x{self._agenda.number()}"

    # -- refunds -----------------------------------------------------------------------------------------------------

    def _start_refund(self, at: int, purchase: _Purchase) -> None:
        rng, amount = self._rng, purchase.amount
        linked = rng.random() >= shares.REFUND_UNLINKED
        if amount > 1 and rng.random() < shares.REFUND_PARTIAL:
            amount = rng.randint(1, amount - 1)
        twice = linked and rng.random() < shares.REFUNDED_TWICE
        refund = _Refund(purchase, amount, purchase.account.presented, linked, twice)
        when = at + int(rng.uniform(3, 96) * HOUR_MS)
        self._agenda.plan(when, self._ask if rng.random() < shares.REFUND_AUTHORIZED else self._refund, refund)

    def _ask(self, at: int, refund: _Refund) -> Labelled | None:
        account, merchant = refund.purchase.account, refund.purchase.merchant
        self._agenda.plan(at + int(self._rng.uniform(2, 36) * HOUR_MS), self._refund, refund)
        if account.lost:
            return None
        return Labelled(self._requests.refund(at, account.person, merchant, refund.amount))

    def _refund(self, at: int, refund: _Refund) -> Labelled:
        purchase, account, merchant = refund.purchase, refund.purchase.account, refund.purchase.merchant
        account.owed -= refund.amount
        linked = refund.linked and account.remembers(refund.ordinal)
        if refund.twice and linked:
            refund.twice = False
            self._agenda.plan(at + int(self._rng.uniform(1, 30) * HOUR_MS), self._refund, refund)
        return Labelled(
            Refund(
                "refund", 1, f"{self._run}-f{self._agenda.number()}", account.person.account_id, refund.amount,
                self._currency, merchant.id, merchant.name, merchant.mcc, at, purchase.reference if linked else None,
            )
        )  # fmt: skip

    # -- disputes ----------------------------------------------------------------------------------------------------

    def _start_dispute(self, at: int, purchase: _Purchase) -> None:
        rng, ordinal = self._rng, purchase.account.presented
        when = at + int(rng.uniform(6, 72) * HOUR_MS)
        self._agenda.plan(when, self._dispute, _Dispute(purchase, purchase.amount, ordinal))
        if rng.random() < shares.REFUNDED_AS_WELL:
            refund = _Refund(purchase, purchase.amount, ordinal, linked=True, twice=False)
            self._agenda.plan(when + int(rng.uniform(1, 48) * HOUR_MS), self._refund, refund)

    def _dispute(self, at: int, dispute: _Dispute) -> Labelled | None:
        """The chain's next step; it ends when the engine may have forgotten the purchase."""
        rng, purchase, account = self._rng, dispute.purchase, dispute.purchase.account
        if not account.remembers(dispute.ordinal):
            return None
        stage = dispute.stage
        account.owed += _OWED[stage] * dispute.amount
        if stage in _NEXT:
            dispute.stage, share = _NEXT[stage]
            if stage == "pre-arbitration" and rng.random() < 0.5:
                dispute.stage = "arbitration-lost"
            if rng.random() < share:
                self._agenda.plan(at + int(rng.uniform(6, 48) * HOUR_MS), self._dispute, dispute)
        message_id = f"{self._run}-d{self._agenda.number()}"
        event = DisputeEvent(
            "dispute-event", 1, message_id, account.person.account_id, purchase.reference, stage, dispute.amount,
            self._currency, at,
        )  # fmt: skip
        return purchase.labelled(event)
