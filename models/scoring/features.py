"""What the fraud model sees of one authorisation request: a fixed row of finite numbers, computed from the account's
profile and the request alone.

The velocity features **include the present request** (the first of a day has `count_24h` 1): the model judges the state
that approving would create. Everything that compares with habit (means, novelty, country) uses the history **before**
the present request. An account without history gets neutral comparisons (ratio 0, nothing new except the counters), so
a first purchase is not suspicious by itself.

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
    "amount",  # log2 of minor units
    "amount_to_mean",  # log2 of the amount over the account's own mean; 0 without history
    "amount_to_category_mean",  # the same within this MCC; falls back to the own mean for a new MCC
    "amount_to_peak",  # log2 of the amount over the largest recent approval
    "count_1m",
    "count_1h",
    "count_24h",
    "amount_1m",  # log2 of the summed minor units
    "amount_1h",
    "amount_24h",
    "spend_1h_to_mean",  # log2 of the hour's sum over the own mean
    "spend_24h_to_mean",
    "small_burst_1h",  # requests within the hour when their average is below a quarter of the own mean, else 0
    "seconds_since_last",  # log2(1 + s), 30 days at most; 30 days without history
    "declines_24h",
    "history",  # log2(1 + approvals), 10 at most
    "category_new",  # 0 or 1
    "merchant_new",  # 0 or 1
    "new_merchants_24h",  # requests within the day at merchants not seen before
    "spend_24h_to_mean_new_merchants",  # log2 of 1 + the sum of those over the own mean
    "resale_category",  # goods that sell on: electronics, jewellery, gift cards, air tickets ...; 0 or 1
    "amount_to_mean_new_merchant",  # amount_to_mean above 0 at a merchant not seen before, else 0
    "abroad",  # merchant outside the home country, 0 or 1
    "country_new",  # abroad and never approved there, 0 or 1
    "hours_since_country_change",  # log2(1 + h) since the last request when its country differs; 9.5 when it does not
    "card_absent",  # 0 or 1
    "entry_surprise",  # bits: -log2 of how often this account pays with or without the card at hand
    "ecommerce",  # 0 or 1
    "manual_entry",  # 0 or 1
    "magstripe",  # 0 or 1
)
WIDTH: Final = len(FEATURES)

RESALE_CATEGORIES: Final = frozenset({4511, 5045, 5094, 5311, 5722, 5732, 5734, 5944, 5946, 5947, 6051, 7995})
"""MCCs whose goods turn into money again: air tickets, computers, precious stones, department stores, household
appliances, electronics, software, jewellery, cameras, gifts, quasi-cash, gambling."""

_LONGEST_S: Final = 30 * 86_400
_LONGEST_LOG: Final = log2(1 + _LONGEST_S)
_SAME_COUNTRY: Final = log2(1 + 30 * 24)
_RATIO_LIMIT: Final = 12.0
_HISTORY_LIMIT: Final = 1023

Row = MutableSequence[float] | npt.NDArray[np.float32]


def fill(out: Row, profile: Profile, request: AuthorizationRequest, home_country: str, now: int) -> None:
    """Write the WIDTH features of `request` at `now` (ms) into `out`: a float32 matrix row or a list of that length."""
    out[:] = features(profile, request, home_country, now)  # type: ignore[index, call-overload]


def features(profile: Profile, request: AuthorizationRequest, home_country: str, now: int) -> tuple[float, ...]:
    """The features in the order of FEATURES; pure, always finite."""
    amount = request.amount
    last_at = profile.last_at
    now = max(now, last_at)
    count_1m, amount_1m = profile.minute.totals(now // MINUTE_BUCKET_MS, MINUTE_BUCKETS)
    count_1h, amount_1h = profile.hour.totals(now // HOUR_BUCKET_MS, HOUR_BUCKETS)
    count_24h, amount_24h = profile.day.totals(now // DAY_BUCKET_MS, DAY_BUCKETS)
    declines, _ = profile.declined.totals(now // DAY_BUCKET_MS, DAY_BUCKETS)
    novel, novel_amount = profile.novel.totals(now // DAY_BUCKET_MS, DAY_BUCKETS)
    count_1h += 1
    amount_1h += amount
    amount_24h += amount

    approved = profile.approved_count
    category_mean = profile.category_mean(request.mcc)
    merchant_new = approved > 0 and merchant_key(request.merchant_id) not in profile.merchants
    if merchant_new:
        novel += 1
        novel_amount += amount
    if approved:
        mean = profile.approved_amount / approved
        to_mean = _ratio(amount, mean)
        to_category = _ratio(amount, category_mean) if category_mean else to_mean
        to_peak = _ratio(amount, profile.peak)
        hour_to_mean = _ratio(amount_1h, mean)
        day_to_mean = _ratio(amount_24h, mean)
        novel_to_mean = log2(1 + novel_amount / mean)
        small_burst = float(count_1h) if amount_1h * 4 < mean * count_1h else 0.0
    else:
        to_mean = to_category = to_peak = hour_to_mean = day_to_mean = novel_to_mean = small_burst = 0.0

    since_s = _LONGEST_S if last_at == NEVER else min((now - last_at) / 1000, _LONGEST_S)
    country = request.merchant_country
    moved = last_at != NEVER and country != profile.last_country
    abroad = country != home_country
    absent = not request.card_present
    alike = profile.approved_absent if absent else approved - profile.approved_absent
    mode = request.entry_mode
    return (
        log2(amount),
        to_mean,
        to_category,
        to_peak,
        float(count_1m + 1),
        float(count_1h),
        float(count_24h + 1),
        log2(amount_1m + amount),
        log2(amount_1h),
        log2(amount_24h),
        hour_to_mean,
        day_to_mean,
        small_burst,
        log2(1 + since_s),
        float(declines),
        log2(1 + min(approved, _HISTORY_LIMIT)),
        1.0 if approved and not category_mean else 0.0,
        1.0 if merchant_new else 0.0,
        float(novel),
        novel_to_mean,
        1.0 if request.mcc in RESALE_CATEGORIES else 0.0,
        to_mean if merchant_new and to_mean > 0 else 0.0,
        1.0 if abroad else 0.0,
        1.0 if abroad and country not in profile.countries else 0.0,
        log2(1 + since_s / 3600) if moved else _SAME_COUNTRY,
        1.0 if absent else 0.0,
        log2((approved + 2) / (alike + 1)),
        1.0 if mode == "ecommerce" else 0.0,
        1.0 if mode == "manual" else 0.0,
        1.0 if mode == "magstripe" else 0.0,
    )


def _ratio(amount: int, usual: float) -> float:
    """log2(amount / usual) within ±12; both are at least 1."""
    bits = log2(amount / usual)
    return bits if -_RATIO_LIMIT < bits < _RATIO_LIMIT else (_RATIO_LIMIT if bits > 0 else -_RATIO_LIMIT)
