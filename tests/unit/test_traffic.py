"""The simulated cardholders: reproducible, in order, valid, and with the shares that the docstrings promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice, pairwise
from typing import Any

import pytest

from loadtest.traffic import Labelled, Traffic
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS
from loadtest.traffic.fraud import CARD_TESTING, FRAUD_SHARE, MERCHANT_BUST_OUT, PATTERNS
from loadtest.traffic.labels import EXPIRED_CARD, FLAWS, UNKNOWN_ACCOUNT, UNKNOWN_CARD, WRONG_EXPIRY
from models.messages import AuthorizationRequest, PaymentReceived, Presentment
from models.money import UnknownCurrency

ACCOUNTS, DAYS = 1200, 40
PER_DAY = 3.0


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(3, ACCOUNTS, "run-a", authorizations_per_account_day=PER_DAY)


@pytest.fixture(scope="module")
def played(traffic: Traffic) -> list[Labelled]:
    """All of the first DAYS days."""
    return list(until(traffic, DAYS))


@pytest.fixture(scope="module")
def requests(played: list[Labelled]) -> list[tuple[Labelled, AuthorizationRequest]]:
    """First attempts only, no network retries."""
    return [
        (item, item.message) for item in played if isinstance(item.message, AuthorizationRequest) and not item.retry
    ]


def until(traffic: Traffic, days: int) -> Iterator[Labelled]:
    end = traffic.plan.start_ms + days * DAY_MS
    for item in traffic.stream():
        if item.message.transmitted_at >= end:
            return
        yield item


def of_type(played: list[Labelled], kind: type[Any]) -> list[Any]:
    return [item.message for item in played if type(item.message) is kind]


def test_equal_arguments_give_equal_traffic(traffic: Traffic, played: list[Labelled]) -> None:
    again = Traffic(3, ACCOUNTS, "run-a", authorizations_per_account_day=PER_DAY)
    assert list(again.openings()) == list(traffic.openings())
    assert list(islice(again.stream(), 5000)) == played[:5000]
    assert list(islice(traffic.stream(), 5000)) == played[:5000]  # a second stream starts anew


def test_another_seed_gives_other_traffic(played: list[Labelled]) -> None:
    other = list(islice(Traffic(4, ACCOUNTS, "run-a").stream(), 1000))
    assert [item.message for item in other] != [item.message for item in played[:1000]]


def test_runs_share_habits_but_no_identifier() -> None:
    def identifiers(run: str) -> tuple[set[str], list[int]]:
        traffic = Traffic(3, 50, run)
        found, amounts = set(), []
        for message in [*traffic.openings(), *(item.message for item in islice(traffic.stream(), 3000))]:
            fields = asdict(message)
            found |= {
                str(fields[name])
                for name in ("message_id", "network_reference", "account_id", "card_token")
                if fields.get(name) is not None
            }
            amounts.append(fields.get("amount", 0))
        return found, amounts

    (one, amounts), (two, same) = identifiers("run-1"), identifiers("run-2")
    assert not one & two
    assert amounts == same


def test_openings_are_varied(traffic: Traffic) -> None:
    openings = list(traffic.openings())
    assert [message.account_id for message in openings[:2]] == ["run-a-000000", "run-a-000001"]
    assert len({message.credit_limit for message in openings}) > 10
    assert len({message.card_expiry for message in openings}) > 20
    assert {message.time_zone for message in openings} >= {"America/Chicago", "Europe/Berlin"}
    assert {message.home_country for message in openings} >= {"US", "CA", "GB", "DE", "MX", "FR"}
    assert all(message.transmitted_at == traffic.plan.start_ms for message in openings)


@pytest.mark.parametrize("per_day", [1.0, 3.0, 12.0])
def test_requests_per_account_and_day_are_as_asked(per_day: float) -> None:
    traffic = Traffic(8, 300, "r", authorizations_per_account_day=per_day)
    count = sum(isinstance(item.message, AuthorizationRequest) for item in until(traffic, 14))
    assert count / (300 * 14 * per_day) == pytest.approx(1.0, abs=0.08)


def test_about_three_in_four_hundred_requests_are_fraud(
    requests: list[tuple[Labelled, AuthorizationRequest]],
) -> None:
    fraud = Counter(item.pattern for item, _ in requests if item.fraud)
    assert set(fraud) == set(PATTERNS)
    assert 0.005 <= sum(fraud.values()) / len(requests) <= 0.01
    assert FRAUD_SHARE == 0.0075


def test_card_testing_is_a_burst_of_small_online_amounts(
    requests: list[tuple[Labelled, AuthorizationRequest]],
) -> None:
    tests = [request for item, request in requests if item.pattern == CARD_TESTING]
    assert {request.entry_mode for request in tests} == {"ecommerce"}
    small = [request for request in tests if request.amount <= 450]
    assert len(small) / len(tests) > 0.75
    by_account: dict[str, list[int]] = {}
    for request in small:
        by_account.setdefault(request.account_id, []).append(request.transmitted_at)
    # a gap may hold two that the network decided
    assert all(b - a <= 120_000 or b - a > HOUR_MS for times in by_account.values() for a, b in pairwise(times))


def test_a_bust_out_charges_many_cardholders_at_one_merchant(
    requests: list[tuple[Labelled, AuthorizationRequest]],
) -> None:
    victims: dict[str, set[str]] = {}
    for item, request in requests:
        if item.pattern == MERCHANT_BUST_OUT:
            victims.setdefault(request.merchant_id, set()).add(request.account_id)
            assert request.amount >= 12_000
    assert max(len(accounts) for accounts in victims.values()) >= 15


def test_flawed_requests_are_what_they_say(
    traffic: Traffic, requests: list[tuple[Labelled, AuthorizationRequest]]
) -> None:
    opened = {message.account_id: message for message in traffic.openings()}
    flaws = Counter(item.pattern for item, _ in requests if item.pattern in FLAWS)
    assert set(flaws) == set(FLAWS)
    assert 0.0015 < sum(flaws.values()) / len(requests) < 0.0055
    for item, request in requests:
        if item.pattern == UNKNOWN_ACCOUNT:
            assert request.account_id not in opened
            continue
        card = opened[request.account_id]
        assert (request.card_token != card.card_token) == (item.pattern == UNKNOWN_CARD)
        assert (request.card_expiry != card.card_expiry) == (item.pattern == WRONG_EXPIRY)
        assert (card.card_expiry < 202601) == (item.pattern == EXPIRED_CARD)


def test_payments_keep_most_accounts_from_running_dry(traffic: Traffic, played: list[Labelled]) -> None:
    balance: Counter[str] = Counter()
    for item in played:
        if isinstance(item.message, Presentment):
            balance[item.message.account_id] += item.message.amount
        elif isinstance(item.message, PaymentReceived):
            balance[item.message.account_id] -= item.message.amount
    limits = {message.account_id: message.credit_limit for message in traffic.openings()}
    dry = sum(balance[account] > limit * 95 // 100 for account, limit in limits.items())
    assert dry / len(limits) < 0.15
    assert all(message.amount >= 1 for message in of_type(played, PaymentReceived))
    assert len(of_type(played, PaymentReceived)) > ACCOUNTS // 2


def test_cardholders_have_habits(requests: list[tuple[Labelled, AuthorizationRequest]]) -> None:
    """An account returns to its merchants, and its mean amount is its own."""
    merchants: dict[str, list[str]] = {}
    amounts: dict[str, list[int]] = {}
    for item, request in requests:
        if item.pattern is None:
            merchants.setdefault(request.account_id, []).append(request.merchant_id)
            amounts.setdefault(request.account_id, []).append(request.amount)
    busy = [account for account, visited in merchants.items() if len(visited) >= 60]
    assert len(busy) > 300
    returning = [1 - len(set(merchants[account])) / len(merchants[account]) for account in busy]
    assert sum(returning) / len(returning) > 0.4
    means = sorted(sum(amounts[account]) / len(amounts[account]) for account in busy)
    assert means[len(means) * 9 // 10] > 1.8 * means[len(means) // 10]


def test_nights_are_quiet(traffic: Traffic, requests: list[tuple[Labelled, AuthorizationRequest]]) -> None:
    home = {message.account_id: message.home_country for message in traffic.openings()}
    hours = Counter(
        request.transmitted_at // HOUR_MS % 24  # London keeps UTC
        for item, request in requests
        if home.get(request.account_id) == "GB" and not item.fraud and request.initiated_by == "cardholder"
    )
    assert sum(hours[hour] for hour in range(1, 5)) * 8 < sum(hours[hour] for hour in range(16, 20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accounts": 0}, "accounts must be at least 1"),
        ({"run": ""}, "run must have 1 to 32"),
        ({"run": "with space"}, "run must have 1 to 32"),
        ({"authorizations_per_account_day": 0.0}, "authorizations_per_account_day"),
    ],
)
def test_senseless_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Traffic(**{"seed": 1, "accounts": 1, "run": "r", **arguments})


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        Traffic(1, 1, "r", currency="XXX")


def test_one_account_is_enough() -> None:
    assert len(list(islice(Traffic(1, 1, "r").stream(), 2000))) == 2000
