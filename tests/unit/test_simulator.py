"""What the simulated people do, against the figures that the simulator says it follows; tolerances come from counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from math import sqrt
from zoneinfo import ZoneInfo

import pytest

from loadtest.traffic import Labelled, Traffic, shares
from loadtest.traffic.bills import BILLS
from loadtest.traffic.cardholders import BLOCK, DAY_MS, HABITS, HOUR_MS, Cardholder
from loadtest.traffic.fraud import FRAUD_RING, PATTERNS, TAKEOVER_AFTER_TRAVEL
from loadtest.traffic.labels import AFTER_RETURN, EARLY, FULL, LATE, LEAST, PARTIAL
from loadtest.traffic.payments import DUE_DAYS
from loadtest.traffic.places import CURRENCY, ZONES, utc_offsets
from loadtest.traffic.rhythm import BY_DAY, BY_HOUR, PAYDAY, PAYDAY_OF_MONTH
from loadtest.traffic.stream import merged
from models.messages import (
    AccountStatusChanged,
    AuthorizationRequest,
    ControlsSet,
    PaymentReceived,
    Presentment,
    Refund,
)
from tests.support.engine import Bench

DAYS, PER_DAY = 91, 2.0
"""Thirteen weeks."""
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(21, BLOCK, "sim", authorizations_per_account_day=PER_DAY)


@pytest.fixture(scope="module")
def played(traffic: Traffic) -> list[Labelled]:
    """All of the first DAYS days, without repeats."""
    end, found = traffic.plan.start_ms + DAYS * DAY_MS, []
    for item in traffic.stream():
        if not item.retry and not item.late:
            if item.message.transmitted_at >= end:
                return found
            found.append(item)
    raise AssertionError("endless")


@pytest.fixture(scope="module")
def people(traffic: Traffic) -> dict[str, Cardholder]:
    return {person.account_id: person for person in traffic.people}


@pytest.fixture(scope="module")
def honest(played: list[Labelled], people: dict[str, Cardholder]) -> list[AuthorizationRequest]:
    """Purchases that cardholders themselves made."""
    return [
        item.message
        for item in played
        if type(item.message) is AuthorizationRequest
        and item.pattern is None
        and item.message.kind == "purchase"
        and item.message.initiated_by == "cardholder"
        and item.message.account_id in people
    ]


def close(count: int, expected: float) -> bool:
    """Within five standard deviations of a count, and a little more for sprees, which come in pairs."""
    return abs(count - expected) <= 5 * sqrt(expected) * 1.1 + 2


def local(request: AuthorizationRequest, person: Cardholder) -> datetime:
    return datetime.fromtimestamp(request.transmitted_at / 1000, ZoneInfo(person.time_zone))


def at_home(honest: list[AuthorizationRequest], people: dict[str, Cardholder]) -> list[tuple[Cardholder, datetime]]:
    return [
        (person, local(request, person))
        for request in honest
        for person in (people[request.account_id],)
        if request.card_present and request.merchant_country == person.home
    ]


# -- when --


def test_hours_of_the_day_are_those_of_the_profile_where_people_live(
    honest: list[AuthorizationRequest], people: dict[str, Cardholder]
) -> None:
    """Clocks of summer and winter time included: thirteen weeks from January see them change."""
    bought = at_home(honest, people)
    hours = Counter(when.hour for _, when in bought)
    for hour, weight in enumerate(BY_HOUR):
        assert close(hours[hour], len(bought) * weight / sum(BY_HOUR)), hour


def test_weekdays_are_those_of_the_profile_and_payday_comes_on_top(
    honest: list[AuthorizationRequest], people: dict[str, Cardholder]
) -> None:
    """Of those who are paid by the month, so that paydays and weekdays are apart."""
    whole_days = [(START + timedelta(days=day)).date() for day in range(1, DAYS - 1)]
    counts = Counter(when.date() for person, when in at_home(honest, people) if person.paid == "monthly")
    usual = [day for day in whole_days if not PAYDAY_OF_MONTH <= day.day < PAYDAY_OF_MONTH + 3]
    total, weights = sum(counts[day] for day in usual), sum(BY_DAY[day.weekday()] for day in usual)
    for weekday in range(7):
        mine = [day for day in usual if day.weekday() == weekday]
        expected = total * BY_DAY[weekday] * len(mine) / weights
        assert close(sum(counts[day] for day in mine), expected), weekday
    paydays = [day for day in whole_days if day.day == PAYDAY_OF_MONTH]
    expected = sum(total / weights * BY_DAY[day.weekday()] for day in paydays)
    assert close(sum(counts[day] for day in paydays), expected * PAYDAY[0])
    assert sum(counts[day] for day in paydays) > expected * 1.1


def test_bills_come_from_the_same_merchant_on_the_same_day_of_the_month(
    played: list[Labelled], people: dict[str, Cardholder]
) -> None:
    bills: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for item in played:
        message = item.message
        if type(message) is AuthorizationRequest and message.entry_mode == "recurring" and item.pattern is None:
            person = people[message.account_id]
            offset = utc_offsets(490_896, 1)[ZONES.index(person.time_zone), 0]
            moment = datetime.fromtimestamp(message.transmitted_at / 1000, UTC) + timedelta(hours=int(offset))
            bills[message.account_id, message.merchant_id].append(moment)
    expected = BILLS * PER_DAY / 3 * BLOCK * DAYS / 30.44
    assert sum(map(len, bills.values())) == pytest.approx(expected, rel=0.12)
    repeated = [days for days in bills.values() if len(days) >= 3]
    assert len(repeated) > 500
    steady = 0
    for days in repeated:
        assert all(2 <= moment.hour < 8 for moment in days)
        month_ends = all((moment + timedelta(days=1)).day == 1 for moment in days)
        steady += month_ends or len({moment.day for moment in days}) == 1
    assert steady / len(repeated) > 0.94  # two contracts with one merchant look like one that is unsteady
    firsts = sum(moment.day == 1 for days in bills.values() for moment in days)
    assert firsts > 3 * sum(moment.day == 9 for days in bills.values() for moment in days)


# -- where --


def test_journeys_are_runs_of_days_in_one_country_paid_in_its_money(
    honest: list[AuthorizationRequest], people: dict[str, Cardholder]
) -> None:
    abroad: dict[str, list[AuthorizationRequest]] = defaultdict(list)
    home: dict[str, list[int]] = defaultdict(list)
    for request in honest:
        if not request.card_present:
            continue
        if request.merchant_country == people[request.account_id].home:
            home[request.account_id].append(request.transmitted_at)
            continue
        abroad[request.account_id].append(request)
        currency = CURRENCY[request.merchant_country]
        assert request.merchant_currency == (None if currency == "USD" else currency)
    assert len(abroad) > 150
    lengths = []
    for account, requests in abroad.items():
        runs = [[requests[0]]]
        for request in requests[1:]:
            last = runs[-1][-1]
            gone_home = any(last.transmitted_at < at < request.transmitted_at for at in home[account])
            if request.merchant_country == last.merchant_country and not gone_home:
                runs[-1].append(request)
            else:
                runs.append([request])
        for run in runs:
            span = run[-1].transmitted_at - run[0].transmitted_at
            assert span < 21.1 * DAY_MS
            lengths.append(span / DAY_MS)
    assert sum(length > 2 for length in lengths) / len(lengths) > 0.6
    present = sum(request.card_present for request in honest)
    share = sum(map(len, abroad.values())) / present
    assert share == pytest.approx(shares.JOURNEYS_A_YEAR * shares.JOURNEY_DAYS / 365, rel=0.5)


def test_merchants_differ_in_custom_and_in_what_people_leave_there(
    traffic: Traffic, honest: list[AuthorizationRequest]
) -> None:
    grocers = Counter(r.merchant_id for r in honest if r.mcc == 5411 and r.merchant_country == "US")
    busiest, *rest = [count for _, count in grocers.most_common()]
    assert busiest > 8 * rest[len(rest) * 3 // 4]
    tickets = {merchant.id: merchant.ticket for merchant in traffic.world.all}
    dear = [request.amount for request in honest if request.mcc == 5411 and tickets[request.merchant_id] > 1.2]
    cheap = [request.amount for request in honest if request.mcc == 5411 and tickets[request.merchant_id] < 0.85]
    assert min(len(dear), len(cheap)) > 500
    assert sum(dear) / len(dear) > 1.35 * sum(cheap) / len(cheap)


# -- means and payments --


def test_income_drives_limits_and_spending(honest: list[AuthorizationRequest], people: dict[str, Cardholder]) -> None:
    spent: Counter[str] = Counter()
    for request in honest:
        spent[request.account_id] += request.amount
    ranked = sorted(people.values(), key=lambda person: person.income)
    poor, rich = ranked[: BLOCK // 4], ranked[-BLOCK // 4 :]

    def mean(who: list[Cardholder], what: dict[str, int]) -> float:
        return sum(what.get(person.account_id, 0) for person in who) / len(who)

    assert mean(rich, spent) > 1.7 * mean(poor, spent)
    limits = {account: person.credit_limit for account, person in people.items()}
    assert mean(rich, limits) > 1.7 * mean(poor, limits)


def test_people_pay_as_is_their_habit(played: list[Labelled], people: dict[str, Cardholder]) -> None:
    owed: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    left: dict[str, list[float]] = defaultdict(list)
    for item in played:
        message = item.message
        if type(message) is Presentment:
            owed[message.account_id] += message.amount
        elif type(message) is Refund:
            owed[message.account_id] -= message.amount
        elif type(message) is PaymentReceived:
            person = people[message.account_id]
            assert item.payment is not None
            kinds[person.habit][item.payment] += 1
            left[item.payment].append(message.amount / max(owed[message.account_id], 1))
            owed[message.account_id] -= message.amount
            if item.payment == LATE:
                days = (message.transmitted_at - traffic_start(played)) / DAY_MS - person.statement_day
                assert (days - DUE_DAYS) % 30.44 <= 20.1
    usual = {"full": FULL, "revolver": PARTIAL, "minimum": LEAST}
    for habit in HABITS:
        assert set(kinds[habit]) <= {usual[habit], EARLY, LATE, AFTER_RETURN}
        assert kinds[habit][usual[habit]] > 0.55 * kinds[habit].total()
    assert sorted(left[LEAST])[len(left[LEAST]) // 2] < 0.15 < sorted(left[PARTIAL])[len(left[PARTIAL]) // 2]
    payments = sum((counter for counter in kinds.values()), Counter[str]())
    in_turn = payments.total() - payments[EARLY]
    late = shares.CARELESS * shares.CARELESS_LATE + (1 - shares.CARELESS) * shares.CAREFUL_LATE
    assert close(payments[LATE], late * in_turn)
    bounced = sum(share * chance for share, chance in zip(shares.HABITS, shares.BOUNCED, strict=True))
    assert 0 < payments[AFTER_RETURN] < 3 * bounced * in_turn + 5


def traffic_start(played: list[Labelled]) -> int:
    return played[0].message.transmitted_at // DAY_MS * DAY_MS


def test_who_is_too_late_is_blocked_until_the_payment(played: list[Labelled]) -> None:
    blocked: dict[str, int] = {}
    released = 0
    paid: dict[str, int] = {}
    for item in played:
        message = item.message
        if type(message) is PaymentReceived:
            paid[message.account_id] = message.transmitted_at
        elif type(message) is AccountStatusChanged and message.status == "delinquent-blocked":
            blocked[message.account_id] = message.transmitted_at
        elif type(message) is AccountStatusChanged and message.account_id in blocked:
            assert message.status == "active"
            assert blocked.pop(message.account_id) < paid[message.account_id] == message.transmitted_at - 60_000
            released += 1
    assert released >= 5


# -- fraud --


def test_every_kind_of_fraud_is_there_and_every_campaign_is_of_one_kind(played: list[Labelled]) -> None:
    requests = [item for item in played if type(item.message) is AuthorizationRequest]
    fraud = [item for item in requests if item.fraud]
    by_kind = Counter(item.pattern for item in fraud)
    assert set(by_kind) == set(PATTERNS)
    assert 0.004 < len(fraud) / len(requests) < 0.0125
    kinds: dict[str | None, set[str | None]] = defaultdict(set)
    for item in played:
        assert item.fraud == (item.campaign is not None)
        if item.fraud:
            kinds[item.campaign].add(item.pattern)
    assert all(len(found) == 1 for found in kinds.values())


def test_a_ring_tries_many_cards_at_its_own_shop_and_cashes_out_later_at_shared_ones(played: list[Labelled]) -> None:
    rings: dict[str | None, list[AuthorizationRequest]] = defaultdict(list)
    for item in played:
        if item.pattern == FRAUD_RING and type(item.message) is AuthorizationRequest:
            rings[item.campaign].append(item.message)
    whole = [ring for ring in rings.values() if len({request.account_id for request in ring}) >= 10]
    assert len(whole) >= 2
    for ring in whole:
        tests = [request for request in ring if request.amount <= 400]
        taken = [request for request in ring if request.amount > 400]
        assert len({request.merchant_id for request in tests}) == 1
        assert len({request.merchant_id for request in taken}) <= 4
        assert {request.account_id for request in taken} <= {request.account_id for request in tests}
        assert not taken or min(r.transmitted_at for r in taken) > max(r.transmitted_at for r in tests) + 5 * HOUR_MS


def test_a_takeover_after_travel_follows_a_journey_to_the_country_where_it_happens(
    played: list[Labelled], people: dict[str, Cardholder]
) -> None:
    visited: dict[str, set[str]] = defaultdict(set)
    campaigns: dict[str | None, bool] = {}
    for item in played:
        message = item.message
        if type(message) is not AuthorizationRequest:
            continue
        if item.pattern is None and message.card_present:
            visited[message.account_id].add(message.merchant_country)
        elif item.pattern == TAKEOVER_AFTER_TRAVEL:
            assert message.merchant_country != people[message.account_id].home
            campaigns.setdefault(item.campaign, message.merchant_country in visited[message.account_id])
    assert len(campaigns) >= 5
    assert sum(campaigns.values()) >= 0.7 * len(campaigns)  # some had bought nothing there


# -- all of it --


def test_blocks_do_not_depend_on_what_else_is_played() -> None:
    traffic = Traffic(4, 2 * BLOCK + 30, "b", authorizations_per_account_day=0.5)
    together = traffic.windows(range(3))
    alone = [traffic.windows([number]) for number in range(3)]
    for _ in range(3):
        window = next(together)
        assert window == [next(source)[0] for source in alone]
        assert [at for at, _ in merged(window)] == sorted(at for block in window for at, _ in block)


def test_the_engine_takes_it_all() -> None:
    """Accounts of one small run through the engine: nothing unreadable, and declines are those that were provoked."""
    small = Traffic(22, 25, "eng", authorizations_per_account_day=4.0)
    bench = Bench(max_future_ms=DAY_MS)
    bench.run(*small.openings())
    slice_, end = [], small.plan.start_ms + 45 * DAY_MS
    for item in small.stream():
        if item.message.transmitted_at >= end:
            break
        slice_.append(item.message)
        if len(slice_) == 4:
            bench.run(*slice_, at=2**53)
            slice_ = []
    dead = Counter(body["reason"] for body in bench.on("dead-letters"))
    assert set(dead) <= {"posted-ambiguous", "suspended", "partly-suspended"}
    assert dead.total() < 40
    decisions = bench.on("authorization-decisions")
    outcomes = Counter(body.get("reason") for body in decisions if body["type"] == "authorization-decision")
    assert outcomes[None] / outcomes.total() > 0.97
    assert outcomes["insufficient-open-to-buy"] / outcomes.total() < 0.01
    refused = {body["control"] for body in decisions if body.get("control")}
    assert refused & {"card:single-use", "card:merchant-lock"}


def test_cards_are_made_good_for_one_use_or_one_merchant_and_freed_again(played: list[Labelled]) -> None:
    guarded: Counter[bool] = Counter()
    open_episodes: set[str] = set()
    for item in played:
        message = item.message
        if type(message) is not ControlsSet or message.velocity or message.lists:
            continue
        if message.single_use or message.merchant_lock:
            assert message.account_id not in open_episodes
            open_episodes.add(message.account_id)
            guarded[message.single_use] += 1
        else:
            open_episodes.discard(message.account_id)
    assert min(guarded[True], guarded[False]) > 5
    assert close(guarded.total(), shares.GUARDED * BLOCK * PER_DAY * DAYS * 0.95)
    assert len(open_episodes) < 5
