"""What the model is shown: names beside values, neutral without history, finite at the extremes."""

from __future__ import annotations

from math import isfinite, log2

import numpy as np
import pytest

from models.messages import AuthorizationRequest
from models.money import MAX_MINOR
from models.profile import Profile
from models.scoring.features import FEATURES, WIDTH, features, fill
from tests.unit.test_profile import NOW, request

HOUR_MS = 3_600_000


def named(profile: Profile, asked: AuthorizationRequest, now: int = NOW, home: str = "US") -> dict[str, float]:
    return dict(zip(FEATURES, features(profile, asked, home, now), strict=True))


@pytest.fixture
def grocer() -> Profile:
    """Ten purchases of 10.00 at two grocers, an hour apart, the last one an hour before NOW."""
    profile = Profile()
    for n in range(10):
        profile.observe(request(1000, f"m-{n % 2}"), NOW - (10 - n) * HOUR_MS, approved=True)
    return profile


def test_names_are_unique() -> None:
    assert len(set(FEATURES)) == WIDTH


def test_a_usual_purchase_stands_out_nowhere(grocer: Profile) -> None:
    seen = named(grocer, request(1000, "m-0"))
    usual = ("amount_to_mean", "amount_to_category_mean", "amount_to_peak", "merchant_new", "category_new", "abroad")
    assert {name: seen[name] for name in usual} == dict.fromkeys(usual, 0.0)
    assert (seen["count_1m"], seen["count_1h"], seen["count_24h"]) == (0, 1, 10)
    assert seen["amount_24h"] == pytest.approx(log2(10_001))
    assert seen["seconds_since_last"] == pytest.approx(log2(3601))
    assert seen["history"] == pytest.approx(log2(11))


def test_a_large_purchase_abroad_online_stands_out(grocer: Profile) -> None:
    seen = named(grocer, request(8000, "m-9", 5732, "TH", present=False))
    assert seen["amount_to_mean"] == seen["amount_to_mean_new_merchant"] == 3.0
    for name in (
        "merchant_new",
        "category_new",
        "abroad",
        "country_new",
        "resale_category",
        "card_absent",
        "ecommerce",
    ):
        assert seen[name] == 1.0, name
    assert seen["hours_since_country_change"] == 1.0  # log2(1 + one hour)
    assert seen["entry_surprise"] == pytest.approx(log2(12))


def test_card_testing_shows_as_a_small_burst(grocer: Profile) -> None:
    start = NOW + HOUR_MS
    for n in range(6):
        grocer.observe(request(90, "m-9", 5815, present=False), start + n * 8_000, approved=True)
    seen = named(grocer, request(90, "m-9", 5815, present=False), start + 50_000)
    assert seen["count_1m"] == seen["count_1h"] == seen["small_burst_1h"] == 6


def test_a_declined_attempt_teaches_no_habit(grocer: Profile) -> None:
    thief = request(8000, "m-9", 5732, "TH", present=False)
    grocer.observe(thief, NOW, approved=False)
    seen = named(grocer, thief, NOW + 1000)
    assert (seen["merchant_new"], seen["category_new"], seen["country_new"], seen["declines_24h"]) == (1, 1, 1, 1)
    assert seen["amount_to_mean"] == 3.0


def test_a_first_purchase_is_compared_with_nothing() -> None:
    seen = named(Profile(), request(5000))
    for name in ("amount_to_mean", "merchant_new", "category_new", "count_24h", "spend_24h_to_mean", "country_new"):
        assert seen[name] == 0.0, name
    assert seen["amount"] == pytest.approx(log2(5000))


def test_the_present_request_is_not_in_its_own_windows() -> None:
    profile = Profile()
    profile.observe(request(700), NOW, approved=True)
    assert named(profile, request(123), NOW)["count_1m"] == 1
    assert named(profile, request(123), NOW)["amount_1m"] == pytest.approx(log2(701))


@pytest.mark.parametrize("amount", [1, MAX_MINOR])
@pytest.mark.parametrize("usual", [1, MAX_MINOR])
@pytest.mark.parametrize("now", [0, NOW, 253_402_300_799_000])
@pytest.mark.parametrize("approved", [True, False])
def test_extremes_stay_finite_also_in_float32(amount: int, usual: int, now: int, approved: bool) -> None:
    profile = Profile()
    for n in range(300):
        profile.observe(request(usual, f"m-{n}"), n, approved)
    row = features(profile, request(amount, "m-new", country="TH"), "US", now)
    assert all(isfinite(value) for value in row)
    assert np.isfinite(np.array(row, np.float32)).all()


def test_fill_writes_lists_and_matrix_rows(grocer: Profile) -> None:
    asked = request(4321, "m-3")
    expected = features(grocer, asked, "US", NOW)
    as_list = [0.0] * WIDTH
    matrix = np.zeros((2, WIDTH), np.float32)
    fill(as_list, grocer, asked, "US", NOW)
    fill(matrix[1], grocer, asked, "US", NOW)
    assert tuple(as_list) == expected
    assert matrix[1].tolist() == np.array(expected, np.float32).tolist()
    assert not matrix[0].any()


def test_asking_changes_nothing(grocer: Profile) -> None:
    assert named(grocer, request(), NOW + HOUR_MS) == named(grocer, request(), NOW + HOUR_MS)
    assert grocer.last_at == NOW - HOUR_MS
