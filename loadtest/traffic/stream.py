"""The traffic itself: an endless, reproducible stream of labelled messages in the order of simulated time.

Each cardholder's purchases are a Poisson process bent to the weekly rhythm; a purchase brings its follow-ups (network
retry, reversal, presentments) at later simulated times; payments and fraud campaigns have clocks of their own. One
heap holds what comes next. The generator sees no decisions: it keeps its own idea of what each account owes and
presents what it believes approved.

Shares, of the purchases believed approved: 2 % reversed within ten minutes, 92 % presented (30 % of those in
restaurants, taxis and barber shops that leave a tip 15-20 % higher; 4 % in two parts, the first non-final; automated
fuel pumps for less than was authorised), the rest never heard of again. 0.5 % of requests are repeated by the network
within seconds. 0.2 % name an unknown card, an unknown account or the expiry of the card before this one,
and another 0.1 % come from cardholders who go on using an expired card. A fraudulent charge is presented in
30 % of the cases, as if most had been stopped.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from random import Random
from typing import Final

from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Cardholder, Plan, Rhythm, cardholders
from loadtest.traffic.fraud import FRAUD_SHARE, PATTERNS, SHARES, Charge, campaign, campaign_size
from loadtest.traffic.merchants import (
    CATEGORIES,
    COUNTRIES,
    STEPS,
    UTC_OFFSET_HOURS,
    Merchant,
    World,
    amount_table,
)
from models.messages import (
    AccountOpened,
    AuthorizationRequest,
    EntryMode,
    PaymentReceived,
    Presentment,
    Reversal,
)
from models.money import exponent

UNKNOWN_CARD: Final = "unknown-card"
UNKNOWN_ACCOUNT: Final = "unknown-account"
WRONG_EXPIRY: Final = "wrong-expiry"
EXPIRED_CARD: Final = "expired-card"
FLAWS: Final = (UNKNOWN_CARD, UNKNOWN_ACCOUNT, WRONG_EXPIRY, EXPIRED_CARD)

_RUN: Final = re.compile(r"[A-Za-z0-9._:-]{1,32}")
_SPREE: Final = 0.05  # a purchase followed by another one within minutes
_FLAWED: Final = 0.002
_RETRIED: Final = 0.005
_REVERSED: Final = 0.02
_PRESENTED: Final = 0.92
_FRAUD_PRESENTED: Final = 0.3
_TRAVEL: Final = 0.003  # a purchase that is the first of a journey abroad
_FOREIGN_SHOP: Final = 0.06  # online purchases at a merchant abroad

_PURCHASE, _EXTRA, _READY, _PAYMENT, _CHARGE, _CAMPAIGN = range(6)

Message = AuthorizationRequest | Reversal | Presentment | PaymentReceived


@dataclass(frozen=True, slots=True)
class Labelled:
    """A message and the truth about it, which the engine never sees."""

    message: Message
    fraud: bool = False
    pattern: str | None = None  # the fraud pattern, or the flaw of a request that names no valid card
    retry: bool = False  # an equal request was sent before; `transmitted_at` is still that of the first


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
        authorizations_per_account_day: float = 3.0,
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
        self.people = cardholders(self.plan, self.world)

    def openings(self) -> Iterator[AccountOpened]:
        """One opening per account, dated `start_ms`."""
        plan = self.plan
        for person in self.people:
            yield AccountOpened(
                "account-opened", 1, f"{plan.run}-open-{person.number:06d}", person.account_id, person.card_token,
                person.card_expiry, person.credit_limit, plan.currency, person.home, plan.start_ms,
            )  # fmt: skip

    def stream(self) -> Iterator[Labelled]:
        """The endless traffic after the openings; every call starts it anew."""
        return _Stream(self).play()


class _Account:
    """What changes while a cardholder spends."""

    __slots__ = ("activity", "away", "away_until", "owed", "person")

    def __init__(self, person: Cardholder, activity: float) -> None:
        self.person = person
        self.activity = activity  # weeks of activity at the next purchase
        self.away = ""
        self.away_until = 0
        self.owed = 0  # minor units, as the generator believes


class _Stream:
    def __init__(self, traffic: Traffic) -> None:
        plan = traffic.plan
        self._rng = Random(f"stream/{plan.seed}")  # noqa: S311 (a simulation, to be repeated)
        self._run = plan.run
        self._currency = plan.currency
        self._world = traffic.world
        self._people = traffic.people
        self._victims = [person for person in self._people if not person.card_expired] or self._people
        self._rhythm = Rhythm()
        self._tables = [amount_table(i) for i in range(len(CATEGORIES))]
        self._sequence = 0
        # A week of activity carries 7 days of requests; what sprees, retries and fraud add is taken off.
        regular = plan.per_day * (1 - FRAUD_SHARE) / (1 + _RETRIED) * (1 - _SPREE)
        self._weekly = regular * 7
        self._campaign_gap = {
            pattern: DAY_MS * campaign_size(pattern, len(self._people))
            / (len(self._people) * plan.per_day * FRAUD_SHARE * SHARES[pattern])
            for pattern in PATTERNS
        }  # fmt: skip
        self._accounts = [self._open(person, plan.start_ms) for person in self._people]
        self._heap = self._first_events(plan.start_ms)

    def _open(self, person: Cardholder, start_ms: int) -> _Account:
        local = start_ms + UTC_OFFSET_HOURS[person.home] * HOUR_MS
        account = _Account(person, self._rhythm.activity_at(local))
        account.activity += self._rng.expovariate(self._weekly * person.activity)
        return account

    def _first_events(self, start_ms: int) -> list[tuple[int, int, int, object]]:
        events: list[tuple[int, int, int, object]] = []
        for account in self._accounts:
            events.append((max(self._due(account), start_ms), self._next(), _PURCHASE, account))
            payment = start_ms + int(self._rng.uniform(1, 30) * DAY_MS)
            events.append((payment, self._next(), _PAYMENT, account))
        for pattern in PATTERNS:
            first = start_ms + int(self._rng.uniform(0, self._campaign_gap[pattern]))
            events.append((first, self._next(), _CAMPAIGN, pattern))
        heapify(events)
        return events

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _push(self, at: int, kind: int, subject: object) -> None:
        self._sequence += 1
        heappush(self._heap, (at, self._sequence, kind, subject))

    def _due(self, account: _Account) -> int:
        return self._rhythm.time_at(account.activity) - UTC_OFFSET_HOURS[account.person.home] * HOUR_MS

    def play(self) -> Iterator[Labelled]:
        heap = self._heap
        while True:
            at, _, kind, subject = heappop(heap)
            if kind == _READY:
                yield subject  # type: ignore[misc]
            elif kind == _PURCHASE:
                yield self._purchase(at, subject, reschedule=True)  # type: ignore[arg-type]
            elif kind == _EXTRA:
                yield self._purchase(at, subject, reschedule=False)  # type: ignore[arg-type]
            elif kind == _CHARGE:
                yield self._charge(subject)  # type: ignore[arg-type]
            elif kind == _PAYMENT:
                yield from self._payment(at, subject)  # type: ignore[arg-type]
            else:
                self._start_campaign(at, subject)  # type: ignore[arg-type]

    # -- purchases ---------------------------------------------------------------------------------------------------

    def _purchase(self, at: int, account: _Account, *, reschedule: bool) -> Labelled:
        rng, person = self._rng, account.person
        if reschedule:
            account.activity += rng.expovariate(self._weekly * person.activity)
            self._push(max(self._due(account), at + 1), _PURCHASE, account)
        if rng.random() < _SPREE:
            self._push(at + int(rng.uniform(40_000, 900_000)), _EXTRA, account)
        mix = person.mix
        category = bisect_right(mix, rng.random() * mix[-1], 0, len(mix) - 1)
        kind = CATEGORIES[category]
        absent = rng.random() < kind.absent * person.online
        merchant = self._merchant(at, account, category, absent=absent)
        if kind.recurring:
            amount = int(kind.median * merchant.price)
        else:
            amount = max(int(self._tables[category][int(rng.random() * STEPS)] * person.level), 50)
        if kind.preauthorized:
            amount = 15_000 if amount > 9_000 else 10_000
        mode = self._entry_mode(absent=absent, recurring=kind.recurring)
        request = self._request(at, person, merchant, amount, mode)
        if person.card_expired:
            return Labelled(request, pattern=EXPIRED_CARD)
        if rng.random() < _FLAWED:
            return self._flawed(request, person)
        truth = Labelled(request)
        self._follow_up(account, truth, category, _PRESENTED)
        return truth

    def _merchant(self, at: int, account: _Account, category: int, *, absent: bool) -> Merchant:
        rng, person = self._rng, account.person
        draw = rng.random()
        if CATEGORIES[category].recurring:
            return person.favourites[category][0]
        if not absent:
            if at < account.away_until:
                return self._world.pick(rng, account.away, category)
            if draw < _TRAVEL:
                account.away = rng.choice(COUNTRIES)
                account.away_until = at + int(rng.uniform(2, 10) * DAY_MS)
                return self._world.pick(rng, account.away, category)
        elif draw < _FOREIGN_SHOP:
            return self._world.pick(rng, rng.choice(COUNTRIES), category)
        if draw < 0.72:
            return person.favourites[category][int(rng.random() * 3)]
        return self._world.pick(rng, person.home, category)

    def _entry_mode(self, *, absent: bool, recurring: bool) -> EntryMode:
        if recurring:
            return "recurring"
        draw = self._rng.random()
        if absent:
            return "manual" if draw < 0.04 else "ecommerce"
        return "contactless" if draw < 0.58 else "chip" if draw < 0.97 else "magstripe"

    def _request(
        self, at: int, person: Cardholder, merchant: Merchant, amount: int, mode: EntryMode
    ) -> AuthorizationRequest:
        self._sequence += 1
        return AuthorizationRequest(
            "authorization-request", 1, f"{self._run}-a{self._sequence}", person.account_id, person.card_token,
            person.card_expiry, amount, self._currency, merchant.id, merchant.name, merchant.country, merchant.mcc,
            mode, mode in {"chip", "contactless", "magstripe"}, at,
        )  # fmt: skip

    def _flawed(self, request: AuthorizationRequest, person: Cardholder) -> Labelled:
        flaw = self._rng.choice((UNKNOWN_CARD, UNKNOWN_ACCOUNT, WRONG_EXPIRY))
        if flaw == UNKNOWN_CARD:
            request = replace(request, card_token=f"{self._run}-lost-{self._sequence}")
        elif flaw == UNKNOWN_ACCOUNT:
            request = replace(request, account_id=f"{self._run}-none-{self._sequence}")
        else:
            request = replace(request, card_expiry=person.old_expiry)
        return Labelled(request, pattern=flaw)

    # -- what follows a request --------------------------------------------------------------------------------------

    def _follow_up(self, account: _Account, truth: Labelled, category: int, presented: float) -> None:
        """Plan what the network and the merchant will still send about a request."""
        request: AuthorizationRequest = truth.message  # type: ignore[assignment]
        rng, at = self._rng, request.transmitted_at
        if rng.random() < _RETRIED:
            self._push(at + rng.randint(1_000, 5_000), _READY, replace(truth, retry=True))
        if account.owed + request.amount > account.person.credit_limit:
            return  # believed declined
        fate = rng.random()
        if fate < _REVERSED:
            when = at + rng.randint(6_000, 600_000)
            message_id = f"{self._run}-r{self._next()}"
            undo = Reversal("reversal", 1, message_id, request.network_reference, request.account_id, when)
            self._push(when, _READY, replace(truth, message=undo))
        elif fate < _REVERSED + presented:
            self._present(account, request, truth, category)

    def _present(self, account: _Account, request: AuthorizationRequest, truth: Labelled, category: int) -> None:
        rng = self._rng
        kind = CATEGORIES[category]
        amount = request.amount
        draw = rng.random()
        if kind.tips and draw < 0.3:
            amount = amount * rng.randint(115, 120) // 100
        elif kind.preauthorized:
            amount = max(min(int(self._tables[category][int(draw * STEPS)]), amount), 500)
        account.owed += amount
        when = request.transmitted_at + int(rng.uniform(2, 48) * HOUR_MS)
        if amount >= 2 and rng.random() < 0.04:
            part = rng.randint(1, amount - 1)
            self._push_presentment(when, request, part, truth, final=False)
            amount -= part
            when += int(rng.uniform(1, 24) * HOUR_MS)
        self._push_presentment(when, request, amount, truth, final=True)

    def _push_presentment(
        self, when: int, request: AuthorizationRequest, amount: int, truth: Labelled, *, final: bool
    ) -> None:
        message = Presentment(
            "presentment", 1, f"{self._run}-p{self._next()}", request.network_reference, request.account_id, amount,
            request.currency, request.merchant_id, request.merchant_name, request.mcc, final, when,
        )  # fmt: skip
        self._push(when, _READY, replace(truth, message=message))

    # -- payments and fraud ------------------------------------------------------------------------------------------

    def _payment(self, at: int, account: _Account) -> Iterator[Labelled]:
        rng, person = self._rng, account.person
        share = person.pays if rng.random() < 0.8 else rng.uniform(0.1, 1.0)
        strained = account.owed * 10 > person.credit_limit * 7
        days = rng.uniform(5, 12) if strained else rng.uniform(27, 33)  # who nears the limit pays again soon
        self._push(at + int(days * DAY_MS), _PAYMENT, account)
        amount = int(account.owed * share)
        if amount >= 1:
            account.owed -= amount
            message_id = f"{self._run}-y{self._next()}"
            yield Labelled(
                PaymentReceived("payment-received", 1, message_id, person.account_id, amount, self._currency, at)
            )

    def _start_campaign(self, at: int, pattern: str) -> None:
        rng = self._rng
        self._push(at + int(self._campaign_gap[pattern] * rng.uniform(0.5, 1.5)), _CAMPAIGN, pattern)
        for charge in campaign(pattern, at, rng, self._world, self._victims):
            self._push(charge.at, _CHARGE, charge)

    def _charge(self, charge: Charge) -> Labelled:
        person = charge.cardholder
        request = self._request(charge.at, person, charge.merchant, charge.amount, charge.entry_mode)
        truth = Labelled(request, fraud=True, pattern=charge.pattern)
        self._follow_up(self._accounts[person.number], truth, charge.merchant.category, _FRAUD_PRESENTED)
        return truth
