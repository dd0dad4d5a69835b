"""How much was approved in a window of time: the counters behind velocity rules, kept in the account's row.

A trailing window looks back from each request: an approval at t counts while now < t + length. It is exact as long as
it never holds more than MAX_ENTRIES approvals at once. One more, and the two neighbours that are closest in time become
one entry at the later time: the window then forgets late, never early, and at most 2/31 of its length late
(`Trailing.add`). A calendar window counts from the first moment of the local day, ISO week or month; it touches the
calendar only when a period turns.

Times are milliseconds since the epoch, amounts minor units; `now` must not run backwards.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal

import msgspec

from models.local_time import period_end

MAX_ENTRIES: Final = 32
"""Entries a trailing window keeps; a rule with a smaller `max_count` never needs that many."""

_SUM_LIMIT: Final = 1 << 62  # sums stop here: msgpack integers have 64 bits, and no limit comes near

Limited = Literal["count", "amount"]
"""What a velocity rule has had enough of; the count is looked at first."""


class Trailing(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=1):
    """At most `max_count` approvals and `max_amount` in the last `length` milliseconds; None: not limited.

    The three lists are one entry each, oldest first: when (milliseconds after `base`, the time of the first entry), how
    many approvals and how much. What is not limited is not counted (it stays 0).
    """

    name: str
    length: int
    max_count: int | None
    max_amount: int | None
    base: int = 0
    offsets: list[int] = msgspec.field(default_factory=list)
    counts: list[int] = msgspec.field(default_factory=list)
    amounts: list[int] = msgspec.field(default_factory=list)

    def exceeded_by(self, amount: int, now: int) -> Limited | None:
        """Whether an approval of `amount` now would make too many, or too much, within the window. Changes nothing."""
        past = now - self.length - self.base  # entries at or before this offset no longer count
        if past < 0:
            count, total = sum(self.counts), sum(self.amounts)
        else:
            first = bisect_right(self.offsets, past)
            count, total = sum(self.counts[first:]), sum(self.amounts[first:])
        return _exceeded(self, count + 1, total + amount)

    def add(self, amount: int, now: int, zone: str) -> None:  # noqa: ARG002 - only calendar windows have a zone
        """Count an approval of `amount`.

        With more than MAX_ENTRIES entries, two neighbours merge that span the least time together with the gap before
        them; the first entry is left alone. The 31 candidates span less than twice the window in all, so the one
        taken spans at most 2/31 of it, and nothing in it is remembered later than that.
        """
        self._forget(now)
        count = 0 if self.max_count is None else 1
        amount = 0 if self.max_amount is None else amount
        offsets = self.offsets
        if not offsets:
            self.base = now
        offset = max(now - self.base, offsets[-1] if offsets else 0)
        if offsets and offsets[-1] == offset:
            self.counts[-1] += count
            self.amounts[-1] = min(self.amounts[-1] + amount, _SUM_LIMIT)
            return
        offsets.append(offset)
        self.counts.append(count)
        self.amounts.append(amount)
        if len(offsets) > MAX_ENTRIES:
            self._merge()

    def _forget(self, now: int) -> None:
        """Drop the entries that no longer count, and let `base` be the time of the first one left."""
        past = now - self.length - self.base
        if past < 0 or not self.offsets:
            return
        gone = bisect_right(self.offsets, past)
        del self.offsets[:gone], self.counts[:gone], self.amounts[:gone]
        if self.offsets:
            shift = self.offsets[0]
            self.base += shift
            self.offsets = [offset - shift for offset in self.offsets]

    def _merge(self) -> None:
        """Make one entry of two neighbours, at the later time."""
        offsets = self.offsets
        spans = [after - before for before, after in zip(offsets, offsets[2:], strict=False)]
        early = spans.index(min(spans)) + 1
        self.counts[early + 1] += self.counts[early]
        self.amounts[early + 1] = min(self.amounts[early + 1] + self.amounts[early], _SUM_LIMIT)
        del offsets[early], self.counts[early], self.amounts[early]


class Calendar(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=2):
    """At most `max_count` approvals and `max_amount` in a local day, ISO week or month; None: not limited."""

    name: str
    period: str  # "day", "week" or "month"
    max_count: int | None
    max_amount: int | None
    ends_at: int = 0  # first moment after the period that was counted
    count: int = 0
    amount: int = 0

    def exceeded_by(self, amount: int, now: int) -> Limited | None:
        """Whether an approval of `amount` now would make too many, or too much, in this period. Changes nothing."""
        count, total = (self.count, self.amount) if now < self.ends_at else (0, 0)
        return _exceeded(self, count + 1, total + amount)

    def add(self, amount: int, now: int, zone: str) -> None:
        """Count an approval of `amount`; `zone` is the account's IANA time zone."""
        if now >= self.ends_at:
            self.ends_at = period_end(self.period, now, zone)
            self.count = self.amount = 0
        self.count += 1
        self.amount = min(self.amount + amount, _SUM_LIMIT)


def _exceeded(rule: Trailing | Calendar, count: int, amount: int) -> Limited | None:
    if rule.max_count is not None and count > rule.max_count:
        return "count"
    if rule.max_amount is not None and amount > rule.max_amount:
        return "amount"
    return None
