"""How long holds last: one test for each row of the table, and for its dates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from models.hold_life import DAY_MS, PERIODS, life_ms
from models.messages import EntryMode, RequestKind


def at(*date: int) -> int:
    """Milliseconds since the epoch of a UTC date."""
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1000  # type: ignore[misc,arg-type]


TODAY = at(2026, 9, 21)
CHANGE = at(2024, 4, 13)


def days(placed_at: int = TODAY, general_days: int = 7, **changes: Any) -> float:
    case: dict[str, Any] = {
        "kind": "purchase", "mcc": 5411, "entry_mode": "chip", "initiated_by": "cardholder", "pre_authorization": False,
    }  # fmt: skip
    return life_ms(**(case | changes), placed_at=placed_at, general_ms=general_days * DAY_MS) / DAY_MS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 7),
        ({"kind": "cash-advance", "mcc": 6011}, 7),
        ({"kind": "quasi-cash", "mcc": 6051}, 7),
        ({"kind": "refund"}, 7),
        ({"entry_mode": "contactless"}, 7),
        ({"entry_mode": "magstripe"}, 7),
        ({"kind": "account-verification"}, 1),
        ({"mcc": 7011}, 30),
        ({"mcc": 7512, "entry_mode": "ecommerce"}, 30),
        ({"mcc": 4411, "initiated_by": "merchant"}, 30),
        ({"pre_authorization": True}, 30),
        ({"pre_authorization": True, "entry_mode": "ecommerce"}, 30),
        ({"initiated_by": "merchant"}, 5),
        ({"initiated_by": "merchant", "entry_mode": "ecommerce"}, 5),
        ({"entry_mode": "recurring"}, 5),
        ({"entry_mode": "ecommerce"}, 10),
        ({"entry_mode": "manual"}, 10),
    ],
)
def test_the_table_of_today(changes: dict[str, Any], expected: int) -> None:
    assert days(**changes) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 7),
        ({"entry_mode": "ecommerce"}, 7),
        ({"initiated_by": "merchant"}, 7),
        ({"mcc": 7011}, 31),
        ({"mcc": 7011, "pre_authorization": True}, 31),
        ({"pre_authorization": True}, 30),
        ({"kind": "account-verification", "mcc": 7011}, 1),
    ],
)
def test_the_table_before_april_2024(changes: dict[str, Any], expected: int) -> None:
    assert days(placed_at=CHANGE - 1, **changes) == expected


def test_the_first_rule_that_matches_decides() -> None:
    """A verification by a hotel, on its own initiative, over the internet, marked as an estimate."""
    everything: dict[str, Any] = {
        "mcc": 7011,
        "entry_mode": "ecommerce",
        "initiated_by": "merchant",
        "pre_authorization": True,
    }
    assert days(kind="account-verification", **everything) == 1
    assert days(**everything) == 30


def test_a_rule_holds_from_its_day_on() -> None:
    assert days(placed_at=CHANGE - 1, mcc=7011) == 31
    assert days(placed_at=CHANGE, mcc=7011) == 30
    assert days(placed_at=0, mcc=7011) == 31


@pytest.mark.parametrize(
    ("mcc", "travel"),
    [
        (3350, False), (3351, True), (3500, True), (3501, True), (3999, True), (4000, False), (4410, False),
        (4411, True), (4412, False), (7010, False), (7011, True), (7012, True), (7013, False), (7033, True),
        (7511, False), (7512, True), (7513, True), (7514, False), (7519, True), (0, False), (9999, False),
    ],
)  # fmt: skip
def test_the_edges_of_the_travel_categories(mcc: int, travel: bool) -> None:
    assert days(mcc=mcc) == (30 if travel else 7)


def test_the_general_life_is_configured_and_changes_no_other() -> None:
    assert days(general_days=14) == 14
    assert days(general_days=1, entry_mode="ecommerce") == 10
    assert days(general_days=60, mcc=7011) == 30


def test_every_case_a_message_can_hold_has_a_life() -> None:
    """None is longer than 31 days, so an open hold is never older than the matching of presentments looks back."""
    lives = {
        days(kind=kind, entry_mode=mode, mcc=mcc, initiated_by=by, pre_authorization=estimate, placed_at=placed_at)
        for kind in get_args(RequestKind)
        for mode in get_args(EntryMode)
        for mcc in (5411, 7011)
        for by in ("cardholder", "merchant")
        for estimate in (False, True)
        for placed_at in (0, TODAY)
    }
    assert lives == {1, 5, 7, 10, 30, 31}


def test_periods_follow_each_other_from_the_beginning() -> None:
    starts = [period.effective_from for period in PERIODS]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert starts[-1] == CHANGE
