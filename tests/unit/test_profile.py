"""The spending profile: what it remembers, what it forgets, and what a declined request must not teach it."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from loadtest.traffic import Traffic
from models.messages import AuthorizationRequest
from models.profile import (
    DAY_BUCKET_MS,
    DAY_BUCKETS,
    MAX_CATEGORIES,
    MAX_COUNTRIES,
    MAX_MERCHANTS,
    MINUTE_BUCKET_MS,
    MINUTE_BUCKETS,
    NEVER,
    Profile,
    merchant_key,
)

NOW = 1_767_225_600_000
DAY_MS = 86_400_000


def request(
    amount: int = 1000, merchant: str = "m-1", mcc: int = 5411, country: str = "US", present: bool = True, at: int = NOW
) -> AuthorizationRequest:
    return AuthorizationRequest(
        "authorization-request", 1, "r-1", "a-1", "c-1", 203001, amount, "USD", merchant, "Shop", country, mcc,
        "chip" if present else "ecommerce", present, at,
    )  # fmt: skip


def day_totals(profile: Profile, now: int) -> tuple[int, int]:
    return profile.day.totals(now // DAY_BUCKET_MS, DAY_BUCKETS)


def test_a_new_profile_is_empty() -> None:
    profile = Profile()
    assert profile.last_at == NEVER
    assert day_totals(profile, NOW) == (0, 0)
    assert profile.category_mean(5411) == 0


def test_windows_count_declined_requests_habits_do_not() -> None:
    profile = Profile()
    profile.observe(request(1000), NOW, approved=True)
    profile.observe(request(90_000, "m-2", 5944, "TH", present=False), NOW + 1000, approved=False)
    assert day_totals(profile, NOW + 1000) == (2, 91_000)
    assert profile.declined.totals(NOW // DAY_BUCKET_MS, DAY_BUCKETS) == (1, 90_000)
    assert (profile.approved_count, profile.approved_amount, profile.approved_absent) == (1, 1000, 0)
    assert (profile.categories, profile.countries, profile.merchants) == ([5411], ["US"], [merchant_key("m-1")])
    assert profile.peak == 1000
    assert (profile.last_country, profile.last_at) == ("TH", NOW + 1000)


def test_a_request_leaves_the_window_after_its_length_and_at_most_one_bucket() -> None:
    profile = Profile()
    profile.observe(request(), NOW + 9_999, approved=True)

    def count(now: int) -> int:
        return profile.minute.totals(now // MINUTE_BUCKET_MS, MINUTE_BUCKETS)[0]

    assert count(NOW + 9_999 + 60_000) == 1
    assert count(NOW + 9_999 + 70_000) == 0


def test_time_that_goes_backwards_counts_as_the_latest_time_seen() -> None:
    profile = Profile()
    profile.observe(request(1000), NOW, approved=True)
    profile.observe(request(2000), NOW - DAY_MS, approved=True)
    assert profile.last_at == NOW
    assert day_totals(profile, NOW) == (2, 3000)
    assert profile.day.buckets == sorted(set(profile.day.buckets))


def test_the_category_mean_follows_what_is_approved_there() -> None:
    profile = Profile()
    profile.observe(request(1000), NOW, approved=True)
    profile.observe(request(50_000, mcc=4511), NOW, approved=True)
    profile.observe(request(1800), NOW, approved=True)
    assert profile.category_mean(5411) == 1100  # an eighth of the way from 1000 to 1800
    assert profile.categories == [4511, 5411]


def test_recent_lists_keep_the_most_recent() -> None:
    profile = Profile()
    for n in range(40):
        profile.observe(request(merchant=f"m-{n}", mcc=n, country=f"{chr(65 + n % 26)}A"), NOW + n, approved=True)
    assert profile.merchants == [merchant_key(f"m-{n}") for n in range(40 - MAX_MERCHANTS, 40)]
    assert profile.categories == list(range(40 - MAX_CATEGORIES, 40))
    assert len(profile.category_means) == MAX_CATEGORIES
    assert len(profile.countries) == MAX_COUNTRIES
    assert profile.countries[-1] == "NA"


def test_requests_at_new_merchants_are_counted_apart() -> None:
    profile = Profile()
    for merchant in ("m-1", "m-2", "m-1", "m-3"):
        profile.observe(request(500, merchant), NOW, approved=True)
    assert profile.novel.totals(NOW // DAY_BUCKET_MS, DAY_BUCKETS) == (2, 1000)  # m-2, m-3; the very first is not new


def test_the_merchant_key_is_the_same_in_every_process() -> None:
    code = "from models.profile import merchant_key; print(merchant_key('m-000123'))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert keys == {f"{merchant_key('m-000123')}\n"}


def test_the_mean_survives_sums_near_64_bits() -> None:
    profile = Profile(approved_count=1 << 20, approved_amount=(1 << 62) + 1, approved_absent=1 << 19)
    profile.observe(request(10**13), NOW, approved=True)
    assert profile.approved_amount < 1 << 63
    assert abs(profile.approved_amount / profile.approved_count / ((1 << 62) / (1 << 20)) - 1) < 0.01
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=Profile) == profile


def test_a_typical_profile_is_small() -> None:
    profiles: dict[str, Profile] = {}
    traffic = Traffic(5, 50, "t")
    for labelled in traffic.stream():
        message = labelled.message
        if message.transmitted_at > traffic.plan.start_ms + 30 * DAY_MS:
            break
        if isinstance(message, AuthorizationRequest):
            profiles.setdefault(message.account_id, Profile()).observe(message, message.transmitted_at, approved=True)
    sizes = sorted(len(msgspec.msgpack.encode(profile)) for profile in profiles.values())
    assert sizes[len(sizes) * 9 // 10] < 500
