"""The traffic itself: an endless, reproducible stream of labelled messages in the order of simulated time.

Each cardholder's purchases are a Poisson process bent to the weekly rhythm. What follows a purchase comes at later
simulated times: from the network (`network.py`), from merchants (`clearing.py`); cardholders and the issuer have their
own business (`servicing.py`), fraud its campaigns (`fraud.py`). One agenda holds what comes next. How often each thing
happens stands in `shares.py`. The generator sees no decisions: it keeps its own idea of what each account owes and
presents what it believes approved.

What the traffic does wrong, on purpose: requests of unknown cards and accounts, with an old expiry, on expired cards
and blocked accounts; messages sent twice; reversals that overtake their request; presentments without the network's
reference, after a decline or long after the hold ended; a linked refund sent twice, or beside a chargeback.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from math import log
from random import Random
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS, Cardholder, Plan, Rhythm, cardholders
from loadtest.traffic.clearing import Clearing
from loadtest.traffic.fraud import FRAUD_SHARE, PATTERNS, SHARES, Charge, campaign, campaign_size
from loadtest.traffic.labels import EXPIRED_CARD, UNKNOWN_ACCOUNT, UNKNOWN_CARD, WRONG_EXPIRY, Labelled
from loadtest.traffic.merchants import CATEGORIES, STEPS, Category, Merchant, World, amount_table
from loadtest.traffic.network import Network, Outages
from loadtest.traffic.places import COUNTRIES, TIME_ZONE, UTC_OFFSET_HOURS
from loadtest.traffic.requests import Requests
from loadtest.traffic.servicing import Servicing
from loadtest.traffic.spender import Spender
from models.messages import AccountOpened, AuthorizationRequest, EntryMode
from models.money import exponent

_RUN: Final = re.compile(r"[A-Za-z0-9._:-]{1,32}")
_BUSY: Final = 30.0
"""Requests per account and day above which an account forgets within hours what was posted."""
_ONLINE: Final = tuple(
    index for index, category in enumerate(CATEGORIES) if category.kind == "purchase" and category.absent >= 0.4
)
_PRICED: Final = frozenset(
    category.mcc for category in CATEGORIES if category.recurring or category.pumps or category.round_to > 1
)
"""Where amounts are not free: subscriptions, fuel pumps, cash machines."""
_REFUNDS_ASKED: Final = 0.012  # refund authorisations, which come on top of purchases


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
                TIME_ZONE[person.home],
            )  # fmt: skip

    def stream(self) -> Iterator[Labelled]:
        """The endless traffic after the openings; every call starts it anew."""
        return _Stream(self).play()


class _Stream:
    def __init__(self, traffic: Traffic) -> None:
        plan = traffic.plan
        self._rng = rng = Random(f"stream/{plan.seed}")  # noqa: S311 (a simulation, to be repeated)
        self._thieves = Random(f"thieves/{plan.seed}")  # noqa: S311 (their own: campaigns stay when other traffic changes)
        self._run = plan.run
        self._world = traffic.world
        self._people = traffic.people
        self._victims = [person for person in self._people if not person.card_expired] or self._people
        self._rhythm = Rhythm()
        self._tables = [amount_table(i) for i in range(len(CATEGORIES))]
        # A week of activity carries 7 days of requests; what comes on top of regular purchases is taken off.
        on_top = shares.REPEATED + _REFUNDS_ASKED - shares.OFFLINE
        self._weekly = 7 * plan.per_day * (1 - FRAUD_SHARE) / (1 + on_top) * (1 - shares.SPREE)
        self._campaign_gap = {
            pattern: DAY_MS * campaign_size(pattern, len(self._people))
            / (len(self._people) * plan.per_day * FRAUD_SHARE * SHARES[pattern])
            for pattern in PATTERNS
        }  # fmt: skip
        self._agenda = Agenda(rng, files_twice=plan.per_day <= _BUSY)
        self._requests = Requests(rng, self._agenda, plan)
        self._clearing = Clearing(rng, self._agenda, plan, self._requests)
        self._network = Network(rng, self._agenda, plan, self._clearing)
        self._outages = Outages(plan)
        self._act = self._regular  # bound once: one waits for every account
        self._accounts = [self._open(person, plan.start_ms) for person in self._people]
        self._start(plan)

    def _open(self, person: Cardholder, start_ms: int) -> Spender:
        offset_ms = UTC_OFFSET_HOURS[person.home] * HOUR_MS
        activity = self._rhythm.activity_at(start_ms + offset_ms)
        return Spender(person, offset_ms, activity, 1 / (self._weekly * person.activity))

    def _start(self, plan: Plan) -> None:
        for account in self._accounts:
            self._plan_next(plan.start_ms, account)
        Servicing(self._rng, self._agenda, plan, self._accounts).start(plan.start_ms)
        for pattern in PATTERNS:
            first = plan.start_ms + int(self._thieves.uniform(0, self._campaign_gap[pattern]))
            self._agenda.plan(first, self._campaign, pattern)

    def play(self) -> Iterator[Labelled]:
        return self._agenda.play()

    # -- purchases ---------------------------------------------------------------------------------------------------

    def _regular(self, at: int, account: Spender) -> Labelled | None:
        self._plan_next(at + 1, account)
        return self._purchase(at, account)

    def _plan_next(self, earliest: int, account: Spender) -> None:
        """The next purchase of a Poisson process that is even in activity."""
        account.activity -= log(1.0 - self._rng.random()) * account.pause
        due = self._rhythm.time_at(account.activity) - account.offset_ms
        self._agenda.plan(due if due > earliest else earliest, self._act, account)

    def _purchase(self, at: int, account: Spender) -> Labelled | None:
        rng, person, random = self._rng, account.person, self._rng.random
        if account.lost:
            return None
        luck = random()
        if luck > 1 - shares.SPREE:
            self._agenda.plan(at + int(rng.uniform(40_000, 900_000)), self._purchase, account)
        mix = person.mix
        index = bisect_right(mix, random() * mix[-1], 0, len(mix) - 1)
        category = CATEGORIES[index]
        absent = random() < category.absent * person.online
        merchant = self._merchant(at, account, index, absent=absent)
        amount = self._amount(person, category, merchant)
        mode = self._entry_mode(absent=absent, category=category)
        request = self._requests.write(at, person, merchant, amount, mode)
        if person.card_expired or luck < _ODD or at >= self._outages.start:
            return self._odd(account, request, merchant, luck)
        truth = Labelled(request)
        self._network.follow(account, truth, merchant, shares.PRESENTED)
        return truth

    def _odd(self, account: Spender, request: AuthorizationRequest, merchant: Merchant, luck: float) -> Labelled | None:
        """A purchase that does not go the usual way, and those in an outage or after the first."""
        at, person = request.transmitted_at, account.person
        out = self._outages.covers(at)
        if person.card_expired or luck < shares.FLAWED:
            return None if out else self._flawed(request, person)  # in an outage the network turns them down itself
        if luck < shares.FLAWED + shares.OFFLINE:
            self._clearing.present_offline(account, request, merchant)
            return None
        if out:
            self._network.stand_in(account, Labelled(request), merchant, self._outages.end)
            return None
        truth = Labelled(request)
        if luck < _ODD - shares.VERIFIED:
            self._network.overtake(truth)
            return None
        if luck < _ODD:
            shop = self._world.pick(self._rng, person.home, self._rng.choice(_ONLINE))
            return Labelled(self._requests.verification(at, person, shop))
        self._network.follow(account, truth, merchant, shares.PRESENTED)
        return truth

    def _merchant(self, at: int, account: Spender, category: int, *, absent: bool) -> Merchant:
        rng, person = self._rng, account.person
        draw = rng.random()
        if CATEGORIES[category].recurring:
            return person.favourites[category][0]
        if not absent:
            if at < account.away_until:
                return self._world.pick(rng, account.away, category)
            if draw < shares.TRAVEL:
                account.away = rng.choice(COUNTRIES)
                account.away_until = at + int(rng.uniform(2, 10) * DAY_MS)
                return self._world.pick(rng, account.away, category)
        elif draw < shares.FOREIGN_SHOP:
            return self._world.pick(rng, rng.choice(COUNTRIES), category)
        if draw < 0.72:
            return person.favourites[category][int(rng.random() * 3)]
        return self._world.pick(rng, person.home, category)

    def _amount(self, person: Cardholder, category: Category, merchant: Merchant) -> int:
        if category.recurring:
            return int(category.median * merchant.price)
        amount = max(int(self._tables[merchant.category][int(self._rng.random() * STEPS)] * person.level), 50)
        if category.mcc not in _PRICED:
            return amount
        if category.pumps:
            return 15_000 if amount > 9_000 else 10_000
        return max(amount // category.round_to, 1) * category.round_to

    def _entry_mode(self, *, absent: bool, category: Category) -> EntryMode:
        if category.mcc in _PRICED and not category.pumps:
            return "recurring" if category.recurring else "chip"
        draw = self._rng.random()
        if absent:
            return "manual" if draw < 0.04 else "ecommerce"
        return "contactless" if draw < 0.58 else "chip" if draw < 0.97 else "magstripe"

    def _flawed(self, request: AuthorizationRequest, person: Cardholder) -> Labelled:
        if person.card_expired:
            return Labelled(request, pattern=EXPIRED_CARD)
        flaw = self._rng.choice((UNKNOWN_CARD, UNKNOWN_ACCOUNT, WRONG_EXPIRY))
        if flaw == UNKNOWN_CARD:
            request = replace(request, card_token=f"{self._run}-lost-{self._agenda.number()}")
        elif flaw == UNKNOWN_ACCOUNT:
            request = replace(request, account_id=f"{self._run}-none-{self._agenda.number()}")
        else:
            request = replace(request, card_expiry=person.old_expiry)
        return Labelled(request, pattern=flaw)

    # -- fraud -------------------------------------------------------------------------------------------------------

    def _campaign(self, at: int, pattern: str) -> None:
        rng = self._thieves
        self._agenda.plan(at + int(self._campaign_gap[pattern] * rng.uniform(0.5, 1.5)), self._campaign, pattern)
        for charge in campaign(pattern, at, rng, self._world, self._victims):
            self._agenda.plan(charge.at, self._charge, charge)

    def _charge(self, at: int, charge: Charge) -> Labelled | None:
        person = charge.cardholder
        account = self._accounts[person.number]
        if account.lost:  # nobody tries a card that is known to be blocked
            return None
        request = self._requests.stolen(at, person, charge.merchant, charge.amount, charge.entry_mode)
        truth = Labelled(request, fraud=True, pattern=charge.pattern)
        if self._outages.covers(at):
            self._network.stand_in(account, truth, charge.merchant, self._outages.end)
            return None
        self._network.follow(account, truth, charge.merchant, shares.FRAUD_PRESENTED)
        return truth


_ODD: Final = shares.FLAWED + shares.OFFLINE + shares.OVERTAKEN + shares.VERIFIED
