"""Random requests against a profile and against plain lists that forget nothing.

1. A window's totals are those of all requests since the start of its oldest bucket.
2. So nothing within the nominal length is missing, and nothing older than one bucket more is counted.
3. The stored size is bounded, whatever came.
4. The profile survives msgpack unchanged.
5. Its features are finite, before and after.
"""

from __future__ import annotations

from math import isfinite

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from models.messages import AuthorizationRequest
from models.money import MAX_MINOR
from models.profile import (
    DAY_BUCKET_MS,
    DAY_BUCKETS,
    HOUR_BUCKET_MS,
    HOUR_BUCKETS,
    MINUTE_BUCKET_MS,
    MINUTE_BUCKETS,
    Profile,
    Window,
)
from models.scoring.features import WIDTH, features

LARGEST_BYTES = 2_300
START = 1_767_225_600_000

Step = tuple[int, AuthorizationRequest, bool]
Seen = list[tuple[int, int]]  # (time, amount)

requests = st.builds(
    AuthorizationRequest,
    type=st.just("authorization-request"),
    version=st.just(1),
    network_reference=st.just("r"),
    account_id=st.just("a"),
    card_token=st.just("c"),
    card_expiry=st.just(203001),
    amount=st.one_of(st.integers(1, 100_000), st.integers(1, MAX_MINOR)),
    currency=st.just("USD"),
    merchant_id=st.integers(0, 40).map("m-{}".format),
    merchant_name=st.just("Shop"),
    merchant_country=st.sampled_from(["US", "CA", "GB", "DE", "FR", "ES", "IT", "NL", "PT", "JP", "TH", "AE"]),
    mcc=st.one_of(st.sampled_from([5411, 5732, 5815]), st.integers(0, 9999)),
    entry_mode=st.sampled_from(["chip", "contactless", "magstripe", "manual", "ecommerce", "recurring"]),
    card_present=st.booleans(),
    transmitted_at=st.just(START),
)
edges = st.sampled_from([10_000, 60_000, 300_000, 3_600_000, 24 * 3_600_000])
gaps = st.one_of(
    edges, st.integers(0, 15_000), st.integers(0, 600_000), st.integers(0, 5 * 3_600_000), st.integers(0, 10**10)
)
steps = st.lists(st.tuples(gaps, requests, st.booleans()), max_size=80)


def check_window(window: Window, seen: Seen, now: int, width: int, span: int) -> None:
    count, amount = window.totals(now // width, span)
    oldest = (now // width - span) * width
    assert count == sum(1 for at, _ in seen if at >= oldest)
    assert amount == sum(value for at, value in seen if at >= oldest)
    assert sum(1 for at, _ in seen if at > now - span * width) <= count
    assert count <= sum(1 for at, _ in seen if at > now - (span + 1) * width)


def check_windows(profile: Profile, seen: Seen, declined: Seen, now: int) -> None:
    check_window(profile.minute, seen, now, MINUTE_BUCKET_MS, MINUTE_BUCKETS)
    check_window(profile.hour, seen, now, HOUR_BUCKET_MS, HOUR_BUCKETS)
    check_window(profile.day, seen, now, DAY_BUCKET_MS, DAY_BUCKETS)
    check_window(profile.declined, declined, now, DAY_BUCKET_MS, DAY_BUCKETS)


@settings(max_examples=150, deadline=None)
@given(steps, gaps)
def test_windows_equal_plain_lists(history: list[Step], pause: int) -> None:
    profile, now = Profile(), START
    seen: Seen = []
    declined: Seen = []
    for gap, request, approved in history:
        now += gap
        assert len(features(profile, request, "US", now)) == WIDTH
        assert all(isfinite(value) for value in features(profile, request, "US", now))
        profile.observe(request, now, approved)
        seen.append((now, request.amount))
        if not approved:
            declined.append((now, request.amount))
        check_windows(profile, seen, declined, now)
        assert len(msgspec.msgpack.encode(profile)) <= LARGEST_BYTES
    check_windows(profile, seen, declined, now + pause)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=Profile) == profile


@settings(max_examples=150, deadline=None)
@given(steps)
def test_habits_equal_plain_lists(history: list[Step]) -> None:
    profile, now = Profile(), START
    approved_ones: list[AuthorizationRequest] = []
    for gap, request, approved in history:
        now += gap
        profile.observe(request, now, approved)
        if approved:
            approved_ones.append(request)
    assert profile.approved_count == len(approved_ones)
    assert profile.approved_amount == sum(request.amount for request in approved_ones)
    assert profile.approved_absent == sum(not request.card_present for request in approved_ones)
    latest_first = list(dict.fromkeys(request.mcc for request in reversed(approved_ones)))
    assert profile.categories == latest_first[:16][::-1]
    countries = list(dict.fromkeys(request.merchant_country for request in reversed(approved_ones)))
    assert profile.countries == countries[:8][::-1]
