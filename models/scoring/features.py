"""What the fraud model sees of one authorisation request: a fixed row of finite numbers, computed from the account's
profile and the request alone.

The velocity features count what came **before** the present request, which has features of its own (`amount`,
`amount_to_mean`, `merchant_new` ...): so each named reason says one thing. An account without history gets neutral
comparisons (ratio 0, nothing new), so a first purchase is not suspicious by itself.

Amounts are minor units; ratios and amounts enter as base-2 logarithms, clipped, so no input can make them infinite.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from math import log2
from typing import Final

import numpy as np
import numpy.typing as npt

from models.messages import AuthorizationRequest
from models.profile import (
    DAY_BUCKET_MS,
    DAY_BUCKETS,
    HOUR_BUCKET_MS,
    HOUR_BUCKETS,
    MINUTE_BUCKET_MS,
    MINUTE_BUCKETS,
    NEVER,
    Profile,
    merchant_key,
)

FEATURES: Final[tuple[str, ...]] = (
    # the purchase against the account's habits
    "amount",  # log2 of minor units
    "amount_to_mean",  # log2 of the amount over the account's own mean; 0 without history
    "amount_to_category_mean",  # the same within this MCC; the own mean stands in for a new MCC
    "amount_to_peak",  # log2 of the amount over the largest recent approval
    "amount_to_mean_new_merchant",  # amount_to_mean above 0 at a merchant not seen before, else 0
    "history",  # log2 of 1 + approvals, 10 at most
    "category_new",  # 0 or 1
    "merchant_new",  # 0 or 1
    "resale_category",  # goods that sell on: electronics, jewellery, gift cards, air tickets ...; 0 or 1
    "entry_surprise",  # bits: -log2 of how often this account pays with (or without) the card at hand
    # what came just before
    "count_1m",  # requests in the trailing minute, approved or not
    "count_1h",
    "count_24h",
    "amount_1m",  # log2 of 1 + their summed minor units
    "amount_1h",
    "amount_24h",
    "spend_1h_to_mean",  # log2 of 1 + the hour's sum over the own mean
    "spend_24h_to_mean",
    "small_burst_1h",  # count_1h when those requests average less than a quarter of the own mean, else 0
    "new_merchants_24h",  # requests within the day at merchants not seen before
    "spend_24h_to_mean_new_merchants",  # log2 of 1 + their sum over the own mean
    "declines_24h",  # declined requests within the day
    "seconds_since_last",  # log2 of 1 + s, 30 days at most; 30 days without history
    # where and how
    "abroad",  # merchant outside the home country, 0 or 1
    "country_new",  # abroad and nothing approved there, 0 or 1
    "hours_since_country_change",  # log2 of 1 + h since a last request in another country; 9.5 when it was in the same
    "card_absent",  # 0 or 1
    "ecommerce",  # 0 or 1
    "manual_entry",  # 0 or 1
    "magstripe",  # 0 or 1
)
WIDTH: Final = len(FEATURES)

RESALE_CATEGORIES: Final = frozenset({4511, 5045, 5094, 5311, 5722, 5732, 5734, 5944, 5946, 5947, 6051, 7995})
"""MCCs whose goods turn into money again: air tickets, computers, precious stones, department stores, household
appliances, electronics, software, jewellery, cameras, gifts, quasi-cash, gambling."""

_LONGEST_S: Final = 30 * 86_400
_SAME_COUNTRY: Final = log2(1 + 30 * 24)
_RATIO_LIMIT: Final = 12.0
_HISTORY_LIMIT: Final = 1023
_HISTORY_LOG: Final = log2(1 + _HISTORY_LIMIT)

Row = MutableSequence[float] | npt.NDArray[np.float32]


def fill(out: Row, profile: Profile, request: AuthorizationRequest, home_country: str, now: int) -> None:
    """Write the WIDTH features of `request` at `now` (ms) into `out`: a float32 matrix row or a list of that length."""
    out[:] = features(profile, request, home_country, now)


def features(profile: Profile, request: AuthorizationRequest, home_country: str, now: int) -> tuple[float, ...]:
    """The features in the order of FEATURES; pure, always finite."""
    now = max(now, profile.last_at)
    since_s = _LONGEST_S if profile.last_at == NEVER else min((now - profile.last_at) / 1000, _LONGEST_S)
    mean = profile.approved_amount / profile.approved_count if profile.approved_count else 0.0
    return (
        *_against_habit(profile, request, mean),
        *_just_before(profile, mean, now),
        log2(1 + since_s),
        *_where_and_how(profile, request, home_country, since_s),
    )


def _against_habit(profile: Profile, request: AuthorizationRequest, mean: float) -> tuple[float, ...]:
    amount, approved = request.amount, profile.approved_count
    resale = 1.0 if request.mcc in RESALE_CATEGORIES else 0.0
    if not approved:
        return (log2(amount), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, resale, 1.0)
    absent = profile.approved_absent
    alike = approved - absent if request.card_present else absent
    category_mean = profile.category_mean(request.mcc)
    merchant_new = merchant_key(request.merchant_id) not in profile.merchants
    to_mean = _ratio(amount, mean)
    return (
        log2(amount),
        to_mean,
        _ratio(amount, category_mean) if category_mean else to_mean,
        _ratio(amount, profile.peak),
        to_mean if merchant_new and to_mean > 0 else 0.0,
        log2(1 + approved) if approved < _HISTORY_LIMIT else _HISTORY_LOG,
        0.0 if category_mean else 1.0,
        1.0 if merchant_new else 0.0,
        resale,
        log2((approved + 2) / (alike + 1)),
    )


def _just_before(profile: Profile, mean: float, now: int) -> tuple[float, ...]:
    hour, day = now // HOUR_BUCKET_MS, now // DAY_BUCKET_MS
    count_1m, amount_1m = profile.minute.totals(now // MINUTE_BUCKET_MS, MINUTE_BUCKETS)
    count_1h, amount_1h = profile.hour.totals(hour, HOUR_BUCKETS)
    count_24h, amount_24h = profile.day.totals(day, DAY_BUCKETS)
    novel, novel_amount = profile.novel.totals(day, DAY_BUCKETS)
    declines, _ = profile.declined.totals(day, DAY_BUCKETS)
    return (
        float(count_1m),
        float(count_1h),
        float(count_24h),
        log2(1 + amount_1m),
        log2(1 + amount_1h),
        log2(1 + amount_24h),
        _times(amount_1h, mean),
        _times(amount_24h, mean),
        float(count_1h) if amount_1h * 4 < mean * count_1h else 0.0,
        float(novel),
        _times(novel_amount, mean),
        float(declines),
    )


def _where_and_how(
    profile: Profile, request: AuthorizationRequest, home_country: str, since_s: float
) -> tuple[float, ...]:
    country, mode = request.merchant_country, request.entry_mode
    abroad = country != home_country
    moved = profile.last_at != NEVER and country != profile.last_country
    return (
        1.0 if abroad else 0.0,
        1.0 if abroad and country not in profile.countries else 0.0,
        log2(1 + since_s / 3600) if moved else _SAME_COUNTRY,
        0.0 if request.card_present else 1.0,
        1.0 if mode == "ecommerce" else 0.0,
        1.0 if mode == "manual" else 0.0,
        1.0 if mode == "magstripe" else 0.0,
    )


def _times(total: int, mean: float) -> float:
    """log2(1 + total / mean), 12 at most; 0 without history."""
    return min(log2(1 + total / mean), _RATIO_LIMIT) if total and mean else 0.0


def _ratio(amount: int, usual: float) -> float:
    """log2(amount / usual) within ±12; both are at least 1."""
    bits = log2(amount / usual)
    return bits if -_RATIO_LIMIT < bits < _RATIO_LIMIT else (_RATIO_LIMIT if bits > 0 else -_RATIO_LIMIT)
