"""How an account usually spends, and how much it tried to spend just now: the part of its row that fraud scoring reads.

Two kinds of memory, both bounded:

* *Windows* count every request, approved or not, over the trailing minute, hour and day. A window is a sparse ring of
  buckets; it covers its nominal length plus the part of the oldest bucket that is still touched, so a request is
  never forgotten early and at most one bucket width late (10 s, 5 min, 1 h).
* *Habits* (own mean, categories, merchants, countries) learn from approved requests only: what a thief tries and we
  decline must not become "usual".

Everything is an integer or a short string; times are milliseconds since the epoch, amounts minor units. Nothing here
reads a clock: `now` comes with each call, and one that went backwards counts as the latest time seen.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from models.messages import AuthorizationRequest

MINUTE_BUCKET_MS: Final = 10_000
MINUTE_BUCKETS: Final = 6
HOUR_BUCKET_MS: Final = 300_000
HOUR_BUCKETS: Final = 12
DAY_BUCKET_MS: Final = 3_600_000
DAY_BUCKETS: Final = 24

MAX_CATEGORIES: Final = 16
MAX_MERCHANTS: Final = 16
MAX_COUNTRIES: Final = 8
NEVER: Final = -1
"""`last_at` of an account that has not asked for anything yet."""

_MEAN_SHIFT: Final = 3  # a new amount moves the decayed mean of its category by an eighth
_PEAK_SHIFT: Final = 6  # the remembered largest amount fades by a sixty-fourth per approval
_SUM_LIMIT: Final = 1 << 62  # msgpack integers have 64 bits

_Item = TypeVar("_Item", int, str)


class Window(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Requests per bucket, oldest first; only buckets that saw a request take room (at most `span` + 1 of them)."""

    buckets: list[int] = msgspec.field(default_factory=list)
    counts: list[int] = msgspec.field(default_factory=list)
    amounts: list[int] = msgspec.field(default_factory=list)

    def add(self, bucket: int, span: int, amount: int) -> None:
        """Count one request in `bucket` and forget the buckets more than `span` before it."""
        buckets = self.buckets
        if buckets:
            if buckets[-1] == bucket:
                self.counts[-1] += 1
                self.amounts[-1] += amount
                return
            if buckets[0] < bucket - span:
                gone = bisect_left(buckets, bucket - span)
                del buckets[:gone], self.counts[:gone], self.amounts[:gone]
        buckets.append(bucket)
        self.counts.append(1)
        self.amounts.append(amount)

    def totals(self, bucket: int, span: int) -> tuple[int, int]:
        """(number, summed amount) of the requests from `bucket - span` on."""
        buckets = self.buckets
        oldest = bucket - span
        if not buckets or buckets[-1] < oldest:
            return 0, 0
        if buckets[0] >= oldest:
            return sum(self.counts), sum(self.amounts)
        first = bisect_left(buckets, oldest)
        return sum(self.counts[first:]), sum(self.amounts[first:])


class Profile(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The spending profile kept inside an account's row."""

    last_at: int = NEVER
    last_country: str = ""
    approved_count: int = 0
    approved_amount: int = 0
    approved_absent: int = 0  # approvals without the card at hand
    peak: int = 0  # largest approved amount, fading
    minute: Window = msgspec.field(default_factory=Window)
    hour: Window = msgspec.field(default_factory=Window)
    day: Window = msgspec.field(default_factory=Window)
    declined: Window = msgspec.field(default_factory=Window)  # trailing day
    novel: Window = msgspec.field(default_factory=Window)  # trailing day: requests at merchants not seen before
    categories: list[int] = msgspec.field(default_factory=list)  # MCCs, least recent first
    category_means: list[int] = msgspec.field(default_factory=list)  # decayed mean amount beside each MCC
    merchants: list[int] = msgspec.field(default_factory=list)  # merchant_key, least recent first
    countries: list[str] = msgspec.field(default_factory=list)  # least recent first

    def observe(self, request: AuthorizationRequest, now: int, approved: bool) -> None:
        """Remember a decided request. Call once per request, never for a retry."""
        now = max(now, self.last_at)
        amount = request.amount
        self.minute.add(now // MINUTE_BUCKET_MS, MINUTE_BUCKETS, amount)
        self.hour.add(now // HOUR_BUCKET_MS, HOUR_BUCKETS, amount)
        self.day.add(now // DAY_BUCKET_MS, DAY_BUCKETS, amount)
        self.last_at = now
        self.last_country = request.merchant_country
        merchant = merchant_key(request.merchant_id)
        if self.approved_count and merchant not in self.merchants:
            self.novel.add(now // DAY_BUCKET_MS, DAY_BUCKETS, amount)
        if approved:
            self._learn(request, merchant)
        else:
            self.declined.add(now // DAY_BUCKET_MS, DAY_BUCKETS, amount)

    def _learn(self, request: AuthorizationRequest, merchant: int) -> None:
        amount = request.amount
        if self.approved_amount > _SUM_LIMIT:  # keeps the mean; out of reach for real money
            self.approved_count >>= 1
            self.approved_absent >>= 1
            self.approved_amount >>= 1
        self.approved_count += 1
        self.approved_amount += amount
        if not request.card_present:
            self.approved_absent += 1
        self.peak = max(amount, self.peak - (self.peak >> _PEAK_SHIFT))
        self._learn_category(request.mcc, amount)
        _touch(self.merchants, merchant, MAX_MERCHANTS)
        _touch(self.countries, request.merchant_country, MAX_COUNTRIES)

    def _learn_category(self, mcc: int, amount: int) -> None:
        categories, means = self.categories, self.category_means
        mean = amount
        if mcc in categories:
            at = categories.index(mcc)
            mean = means[at] + ((amount - means[at]) >> _MEAN_SHIFT)
            if at == len(categories) - 1:
                means[at] = mean
                return
            del categories[at], means[at]
        elif len(categories) >= MAX_CATEGORIES:
            del categories[0], means[0]
        categories.append(mcc)
        means.append(mean)

    def category_mean(self, mcc: int) -> int:
        """Decayed mean of the approved amounts in a category, minor units; 0 when the category is not remembered."""
        if mcc in self.categories:
            return self.category_means[self.categories.index(mcc)]
        return 0


def merchant_key(merchant_id: str) -> int:
    """A merchant's 32-bit key, the same in every process; a collision makes a new merchant look known."""
    return crc32(merchant_id.encode())


def _touch(recent: list[_Item], item: _Item, limit: int) -> None:
    """Make `item` the most recent of at most `limit`."""
    if recent and recent[-1] == item:
        return
    if item in recent:
        recent.remove(item)
    elif len(recent) >= limit:
        del recent[0]
    recent.append(item)
