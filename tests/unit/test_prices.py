"""An account in another currency spends about as much as one in dollars, in that currency's decimals."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.traffic import Traffic
from loadtest.traffic.places import RATE_UNIT, rate
from loadtest.traffic.prices import cent, price
from models.messages import AuthorizationRequest, PaymentReceived
from models.money import CURRENCIES, exponent

RATED = ("CAD", "EUR", "JPY", "KRW", "KWD", "MXN", "AED")


@pytest.mark.parametrize(
    ("currency", "minor"),
    [("USD", 1), ("EUR", 1), ("CAD", 1), ("JPY", 2), ("KRW", 20), ("KWD", 2), ("MXN", 20), ("ISK", Fraction(1, 100)),
     ("TND", 10), ("CLF", 100)],
)  # fmt: skip
def test_a_cent_is_a_round_number_of_minor_units(currency: str, minor: Fraction) -> None:
    assert cent(currency) == minor


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(1, 10**9))
def test_what_costs_something_costs_a_whole_number_that_is_not_nothing(currency: str, cents: int) -> None:
    assert price(cents, currency) == max(1, int(cents * cent(currency)))
    assert price(0, currency) == 0


def traffic(currency: str) -> tuple[list[int], list[Any]]:
    """(limits, messages)"""
    played = Traffic(3, 200, "run", currency)
    return [person.credit_limit for person in played.people], list(islice(played.stream(), 20_000))


def in_dollars(amount: float, currency: str) -> float:
    value = rate(currency, "USD")
    assert value is not None
    return amount / 10 ** exponent(currency) * value / RATE_UNIT


@pytest.fixture(scope="module")
def dollars() -> tuple[list[int], list[Any]]:
    return traffic("USD")


@pytest.mark.parametrize("currency", RATED)
def test_accounts_spend_owe_and_pay_as_much_as_in_dollars(currency: str, dollars: tuple[list[int], list[Any]]) -> None:
    """A round number is at most the square root of 2.5 from the rate; payments are few, and differ."""
    limits, messages = traffic(currency)
    assert {limit % price(50_000, currency) for limit in limits} == {0}
    pairs = [(median(limits), median(dollars[0]), 1.65)]
    for kind, factor in ((AuthorizationRequest, 1.65), (PaymentReceived, 2.5)):
        here, there = ([m.message.amount for m in each if type(m.message) is kind] for each in (messages, dollars[1]))
        pairs.append((median(here), median(there), factor))
    for ours, theirs, factor in pairs:
        assert 1 / factor < in_dollars(ours, currency) / in_dollars(theirs, "USD") < factor


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_machines_pay_out_notes(currency: str) -> None:
    paid = [
        item.message.amount
        for item in traffic(currency)[1]
        if isinstance(item.message, AuthorizationRequest) and item.message.kind == "cash-advance"
    ]
    assert len(paid) > 20
    notes = [amount for amount in paid if amount % price(2_000, currency) == 0]
    assert len(notes) > 0.9 * len(paid), "but for what thieves take and what is guessed"


def test_pumps_ask_for_a_round_amount_in_yen() -> None:
    asked = {
        item.message.amount
        for item in traffic("JPY")[1]
        if isinstance(item.message, AuthorizationRequest) and item.message.mcc == 5542 and not item.fraud
    }
    assert asked == {20_000, 30_000}
