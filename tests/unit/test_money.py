from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import money


@pytest.mark.parametrize(
    ("amount", "currency", "major"),
    [
        (12345, "KWD", "12.345"),
        (1000, "JPY", "1000"),
        (12345, "CLF", "1.2345"),
        (12345, "USD", "123.45"),
        (-5, "EUR", "-0.05"),
    ],
)
def test_i6_minor_units_go_by_currency(amount: int, currency: str, major: str) -> None:
    assert money.to_major(amount, currency) == Decimal(major)


def test_an_unknown_currency_is_named() -> None:
    with pytest.raises(money.UnknownCurrency, match="'XXX'"):
        money.exponent("XXX")


def test_display_is_for_people() -> None:
    assert money.display(1234567, "USD") == "12,345.67 USD"


def test_e5_thirds_add_up() -> None:
    assert money.split(10000, 3) == [3334, 3333, 3333]


@given(st.integers(-(10**13), 10**13), st.integers(1, 50))
def test_a_split_loses_nothing_and_is_fair(amount: int, parts: int) -> None:
    shares = money.split(amount, parts)
    assert sum(shares) == amount
    assert len(shares) == parts
    assert max(shares) - min(shares) <= 1
