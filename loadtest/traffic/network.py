"""What the network and the merchant's terminal say about an authorisation before it is cleared.

Most say nothing and are presented. Some are reversed, wholly or in part; stays and tabs grow; fuel pumps tell the real
amount; and while we cannot be reached the network decides for us and says so afterwards.
"""

from __future__ import annotations

from random import Random
from typing import Final, Literal

from loadtest.traffic import shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import HOUR_MS, Plan
from loadtest.traffic.clearing import Clearing
from loadtest.traffic.labels import Labelled
from loadtest.traffic.merchants import CATEGORIES, STEPS, Category, Merchant, amount_table
from loadtest.traffic.prices import price
from loadtest.traffic.seeds import dice
from loadtest.traffic.spender import Spender
from models.messages import AuthorizationAdvice, AuthorizationIncrement, AuthorizationRequest, Reversal

_MINUTE_MS: Final = 60_000
Reason = Literal["customer", "timeout", "malfunction", "suspected-fraud"]


class Outages:
    """When the network cannot reach us. Ask in the order of time."""

    def __init__(self, plan: Plan) -> None:
        self._rng = dice(plan.seed, "outages")
        self.start = plan.start_ms + int(self._rng.uniform(0, shares.OUTAGE_EVERY_HOURS) * HOUR_MS)
        self.end = self.start + self._length()

    def covers(self, at: int) -> bool:
        """Whether nothing reaches us at that time; `end` is then the end of the outage."""
        while at >= self.end:
            self.start += int(self._rng.uniform(0.5, 1.5) * shares.OUTAGE_EVERY_HOURS * HOUR_MS)
            self.end = self.start + self._length()
        return at >= self.start

    def _length(self) -> int:
        return int(self._rng.uniform(*shares.OUTAGE_SECONDS) * 1000)


class Network:
    """Plans and sends what follows a request up to its clearing."""

    def __init__(self, rng: Random, agenda: Agenda, plan: Plan, clearing: Clearing) -> None:
        self._rng, self._agenda, self._clearing = rng, agenda, clearing
        self._run = plan.run

    def follow(self, account: Spender, truth: Labelled, merchant: Merchant, presented: float) -> None:
        """Plan what will still be heard of a request that has been sent; `presented` is the share that is cleared."""
        request = truth.request
        at, amount = request.transmitted_at, request.amount
        room = account.limit - account.owed
        if amount > room or at < account.blocked_until:
            self._after_decline(account, truth, merchant, room)
            return
        fate = self._rng.random()
        if fate < shares.REVERSED:
            self._take_back(account, truth, merchant, fate)
        elif fate < shares.REVERSED + presented:
            category = CATEGORIES[merchant.category]
            if category.estimated:
                self._settle_estimate(account, truth, merchant, category)
                return
            if category.tips and self._rng.random() < shares.TIPPED:
                amount = _tipped(self._rng, amount)
            self._clearing.present(account, truth, merchant, amount, at)
        elif fate > 1 - shares.STOOD_IN_ANYWAY:
            self._stand_in_anyway(account, truth, merchant)

    # -- reversals ---------------------------------------------------------------------------------------------------

    def overtake(self, truth: Labelled) -> None:
        """The request waits somewhere; its reversal after the network's deadline of 2 s does not."""
        request = truth.request
        rng, at = self._rng, request.transmitted_at
        undone = at + rng.randint(2_000, 6_000)
        self._agenda.say(undone, truth._replace(message=self._reversal(request, undone, "timeout")))
        self._agenda.say(undone + rng.randint(500, 20_000), truth._replace(late=True))

    def _take_back(self, account: Spender, truth: Labelled, merchant: Merchant, fate: float) -> None:
        """`fate` is below shares.REVERSED and picks the kind."""
        request = truth.request
        rng, at = self._rng, request.transmitted_at
        if fate < shares.CUT and request.amount >= 2:
            when = at + int(rng.uniform(0.1, 6) * HOUR_MS)
            gone = rng.randint(1, request.amount - 1)
            self._agenda.say(when, truth._replace(message=self._reversal(request, when, "customer", gone)))
            self._clearing.present(account, truth, merchant, request.amount - gone, when)
            return
        reason: Reason = "customer"
        when = at + rng.randint(6_000, 600_000)
        if fate > shares.REVERSED - shares.MALFUNCTION:
            reason = "malfunction" if rng.random() < 0.5 else "suspected-fraud"
        elif fate > shares.REVERSED - shares.MALFUNCTION - shares.TIMED_OUT:
            reason, when = "timeout", at + rng.randint(2_000, 40_000)
        amount = request.amount if rng.random() < 0.5 else None
        self._agenda.say(when, truth._replace(message=self._reversal(request, when, reason, amount)))

    def _reversal(
        self,
        request: AuthorizationRequest,
        when: int,
        reason: Reason,
        amount: int | None = None,
    ) -> Reversal:
        message_id = f"{self._run}-r{self._agenda.number()}"
        return Reversal(
            "reversal", 1, message_id, request.network_reference, request.account_id, when, amount, reason
        )  # fmt: skip

    # -- estimates ---------------------------------------------------------------------------------------------------

    def _settle_estimate(self, account: Spender, truth: Labelled, merchant: Merchant, category: Category) -> None:
        if category.pumps:
            self._fuel(account, truth, merchant)
            return
        request = truth.request
        rng, at, amount = self._rng, request.transmitted_at, request.amount
        if rng.random() < shares.GROWING:
            at, amount = self._grow(account, request, category, truth)
        if category.tips and rng.random() < shares.TIPPED:
            amount = _tipped(rng, amount)
        elif rng.random() < 0.2:  # the minibar, or a night less
            amount = max(1, amount * rng.randint(70, 108) // 100)
        self._clearing.present(account, truth, merchant, amount, at)

    def _grow(
        self, account: Spender, request: AuthorizationRequest, category: Category, truth: Labelled
    ) -> tuple[int, int]:
        """Plan increments of a stay (each some hours after the last) or a tab (minutes); (time of the last, total)."""
        rng, when, total = self._rng, request.transmitted_at, request.amount
        nights = category.grows == "nights"
        for _ in range(rng.randint(1, 3)):
            more = max(1, request.amount * rng.randint(20, 60 if nights else 100) // 100)
            if account.owed + total + more > account.limit:
                break
            total += more
            when += int(rng.uniform(12, 30) * HOUR_MS if nights else rng.uniform(10, 50) * _MINUTE_MS)
            amount_is: Literal["total", "delta"] = "total" if rng.random() < shares.TOTALS else "delta"
            message = AuthorizationIncrement(
                "authorization-increment", 1, f"{self._run}-i{self._agenda.number()}", request.network_reference,
                request.account_id, total if amount_is == "total" else more, amount_is, request.currency, when,
            )  # fmt: skip
            self._agenda.say(when, truth._replace(message=message))
        return when, total

    def _fuel(self, account: Spender, truth: Labelled, merchant: Merchant) -> None:
        """A pump asked for a round amount. One in thirty fills up for a little more than that."""
        request = truth.request
        rng, when = self._rng, request.transmitted_at + self._rng.randint(60_000, 420_000)
        amount = int(amount_table(merchant.category)[int(rng.random() * STEPS)] * account.person.level)
        amount = max(min(price(amount, request.currency), request.amount), price(500, request.currency))
        if rng.random() < 1 / 30:
            amount = request.amount * rng.randint(101, 115) // 100
        if rng.random() >= shares.COMPLETED:
            self._clearing.present(account, truth, merchant, amount, when)
            return
        drove_off = rng.random() < shares.DROVE_OFF
        advice = self._advice(request, when, "completion", 0 if drove_off else amount)
        advice.approved = not drove_off or rng.random() < 0.5
        self._agenda.say(when, truth._replace(message=advice))
        if not drove_off:
            self._clearing.present(account, truth, merchant, amount, when)

    # -- declines ----------------------------------------------------------------------------------------------------

    def _after_decline(self, account: Spender, truth: Labelled, merchant: Merchant, room: int) -> None:
        """Believed declined: paid in part where the terminal can take it, and now and then presented nevertheless."""
        request = truth.request
        blocked = request.transmitted_at < account.blocked_until
        if request.partial_approval and room > 0 and not blocked:
            self._clearing.present(account, truth, merchant, room, request.transmitted_at)
        elif self._rng.random() < shares.PRESENTED_AFTER_DECLINE:
            self._clearing.present(account, truth, merchant, request.amount, request.transmitted_at)

    # -- stand-in ----------------------------------------------------------------------------------------------------

    def stand_in(self, account: Spender, truth: Labelled, merchant: Merchant, reachable_at: int) -> None:
        """We cannot be reached: the network decides on the request and says so once we can."""
        request = truth.request
        rng = self._rng
        fits = account.owed + request.amount <= account.limit
        when = reachable_at + rng.randint(500, 60_000)
        advice = self._advice(request, when, "stand-in", request.amount)
        advice.approved = fits and rng.random() >= shares.STOOD_IN_DECLINED
        advised = truth._replace(message=advice)
        self._agenda.say(when, advised)
        if advice.approved:
            self._clearing.present(account, advised, merchant, request.amount, when)

    def _stand_in_anyway(self, account: Spender, truth: Labelled, merchant: Merchant) -> None:
        """Our answer was too late for the network, which had decided itself."""
        request = truth.request
        when = request.transmitted_at + self._rng.randint(2_000, 10_000)
        self._agenda.say(when, truth._replace(message=self._advice(request, when, "stand-in", request.amount)))
        self._clearing.present(account, truth, merchant, request.amount, when)

    def _advice(
        self, request: AuthorizationRequest, when: int, reason: Literal["completion", "stand-in"], amount: int
    ) -> AuthorizationAdvice:
        """About `request`: a completion has a reference of its own, a stand-in advice that of the request."""
        number = self._agenda.number()
        completes = reason == "completion"
        return AuthorizationAdvice(
            "authorization-advice", 1, f"{self._run}-v{number}" if completes else request.network_reference,
            request.account_id, reason, True, request.card_token, amount, request.currency, request.merchant_id,
            request.merchant_name, request.merchant_country, request.mcc, request.entry_mode, request.card_present,
            when, request.network_reference if completes else None, None if completes else f"N{number % 100_000:05d}",
            request.rrn, request.initiated_by,
        )  # fmt: skip


def _tipped(rng: Random, amount: int) -> int:
    return amount * rng.randint(115, 120) // 100
