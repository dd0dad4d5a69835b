"""Some hundred accounts played through time by themselves, whatever plays the others.

What is bought is drawn window by window (`purchases.py`). What follows comes at later simulated times: from the network
(`network.py`), from merchants (`clearing.py`), from cardholders and the issuer (`payments.py`, `servicing.py`,
`guards.py`). One agenda holds what comes next. The block sees no decisions: it keeps its own idea of what each account
owes and presents what it believes approved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda, Said
from loadtest.traffic.bills import expected
from loadtest.traffic.cardholders import BLOCK, HOUR_MS, Cardholder, Plan
from loadtest.traffic.clearing import Clearing
from loadtest.traffic.fraud import FRAUD_SHARE, Charge, after_travel_share, takeover_after_travel
from loadtest.traffic.guards import Guards
from loadtest.traffic.labels import EXPIRED_CARD, UNKNOWN_ACCOUNT, UNKNOWN_CARD, WRONG_EXPIRY, Labelled
from loadtest.traffic.merchants import CATEGORIES, Merchant, World
from loadtest.traffic.network import Network, Outages
from loadtest.traffic.payments import Payments
from loadtest.traffic.places import COUNTRIES
from loadtest.traffic.purchases import MODES, Purchases
from loadtest.traffic.requests import Requests
from loadtest.traffic.seeds import dice
from loadtest.traffic.servicing import Servicing
from loadtest.traffic.spender import Spender
from models.messages import AuthorizationRequest

_BUSY: Final = 30.0
"""Requests per account and day above which an account forgets within hours what was posted."""
_ONLINE: Final = tuple(
    index for index, category in enumerate(CATEGORIES) if category.kind == "purchase" and category.absent >= 0.4
)
_REFUNDS_ASKED: Final = 0.012  # refund authorisations, which come on top of purchases
_ODD: Final = shares.FLAWED + shares.OFFLINE + shares.OVERTAKEN + shares.VERIFIED


class Block:
    """The accounts number x BLOCK and following of a plan."""

    def __init__(self, plan: Plan, world: World, people: Sequence[Cardholder], number: int) -> None:
        people = people[number * BLOCK : (number + 1) * BLOCK]
        self._first, self._run, self._world = number * BLOCK, plan.run, world
        self._rng = rng = dice(plan.seed, "block", number)
        self._thieves = dice(plan.seed, "copied", number)  # their own: fraud stays when other traffic changes
        self._copied = after_travel_share(plan)
        self._purchases = Purchases(plan, world, people, number, _daily(plan))
        self._accounts = [Spender(person) for person in people]
        self._agenda = agenda = Agenda(
            rng, files_twice=plan.per_day <= _BUSY, number=count(number + 1, plan.blocks).__next__
        )
        self._requests = Requests(rng, agenda, plan)
        payments = Payments(rng, agenda, plan)
        self._clearing = Clearing(rng, agenda, plan, self._requests, payments)
        self._network = Network(rng, agenda, plan, self._clearing)
        self._outages = Outages(plan)
        for account in self._accounts:
            payments.start(plan.start_ms, account)
        Servicing(rng, agenda, plan, self._accounts).start(plan.start_ms)
        Guards(rng, agenda, plan, self._accounts, (world, self._requests, self._network)).start(plan.start_ms)

    def advance(self, start_hour: int, hours: int, charges: Sequence[Charge]) -> list[Said]:
        """What is said in the next window, in order. `charges`: of thieves, in this window or later."""
        agenda, buy, tell, run = self._agenda, self._buy, self._agenda.tell, self._agenda.run
        self._welcome(start_hour)
        for charge in charges:
            agenda.plan(charge.at, self._charge, charge)
        for at, who, merchant, _category, amount, mode, luck in self._purchases.window(start_hour, hours):
            run(at)
            item = buy(at, self._accounts[who], self._world.all[merchant], amount, mode, luck)
            if item is not None:
                tell(at, item)
        run((start_hour + hours) * HOUR_MS)
        return agenda.take()

    def __contains__(self, number: int) -> bool:
        """Whether the cardholder with that number is one of these."""
        return 0 <= number - self._first < len(self._accounts)

    # -- purchases ---------------------------------------------------------------------------------------------------

    def _buy(
        self, at: int, account: Spender, merchant: Merchant, amount: int, mode: int, luck: float
    ) -> Labelled | None:
        if account.lost or at < account.guarded_until:
            return None
        if at < account.blocked_until and self._rng.random() >= shares.TRIED_BLOCKED:
            return None
        request = self._requests.write(at, account.person, merchant, amount, MODES[mode])
        if account.person.card_expired or luck < _ODD or at >= self._outages.start:
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

    def _welcome(self, hour: int) -> None:
        """Whoever comes home may find that somebody has copied the card."""
        rng = self._thieves
        for who, country in self._purchases.journeys.come_home(hour):
            person = self._accounts[who].person
            if rng.random() >= self._copied or person.card_expired:
                continue
            name, trip = f"{self._run}-t{person.number}-{hour}", (person, COUNTRIES[country])
            for charge in takeover_after_travel(hour * HOUR_MS, name, rng, self._world, trip):
                self._agenda.plan(charge.at, self._charge, charge)

    def _charge(self, at: int, charge: Charge) -> Labelled | None:
        person = charge.cardholder
        account = self._accounts[person.number - self._first]
        if account.lost:  # nobody tries a card that is known to be blocked
            return None
        request = self._requests.stolen(at, person, charge.merchant, charge.amount, charge.entry_mode)
        truth = Labelled(request, fraud=True, pattern=charge.pattern, campaign=charge.campaign)
        if self._outages.covers(at):
            self._network.stand_in(account, truth, charge.merchant, self._outages.end)
            return None
        self._network.follow(account, truth, charge.merchant, shares.FRAUD_PRESENTED)
        return truth


def _daily(plan: Plan) -> float:
    """Purchases per day and account of average activity: what comes on top of them is taken off."""
    on_top = shares.REPEATED + _REFUNDS_ASKED - shares.OFFLINE
    return plan.per_day * (1 - FRAUD_SHARE) / (1 + on_top) / (1 + shares.SPREE) - expected(plan)
