"""Random approvals against controls, and against a model that forgets nothing and works with `datetime`.

1. While no trailing window has held more than 32 approvals, the answer of every step is the model's.
2. Beyond that a rule still never lets more through than it allows, in any window (it forgets late, never early) ...
3. ... and refuses nothing that the model would not refuse with a window 2/31 longer (not late without end).
4. Calendar windows are always the model's: on days of 23, 24, 24 1/2 and 25 hours, and where the date goes back.
5. Asking changes nothing; the state survives msgpack at every step; its size is bounded, whatever came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from models.controls import Controls, count, from_message, refused_by
from models.messages import AuthorizationRequest, ControlsSet, ListRule, VelocityRule
from models.money import MAX_MINOR
from models.velocity import MAX_ENTRIES, Calendar
from tests.support.messages import controls as message
from tests.support.messages import request

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST_RULE_BYTES = 700  # a name of 64 and 32 entries of time, count and the largest sums
LARGEST_BYTES = 8 * LARGEST_RULE_BYTES + 8 * 50 * 67 + 1000  # eight rules, eight lists of 50 names of 64


def utc(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


# Where to start: shortly before clocks change, and on simple days.
STORIES = [
    ("America/New_York", "2026-03-07T03:00"),
    ("America/New_York", "2026-10-31T02:00"),
    ("Europe/London", "2026-03-28T20:00"),
    ("Europe/London", "2026-10-24T20:00"),
    ("Australia/Lord_Howe", "2026-04-04T10:00"),
    ("Australia/Lord_Howe", "2026-10-03T10:00"),
    ("Asia/Kolkata", "2026-12-30T12:00"),
    ("America/Havana", "2020-10-31T20:00"),  # midnight comes twice
    ("Africa/Cairo", "2026-04-23T12:00"),  # midnight does not come
    ("America/St_Johns", "2010-11-06T22:00"),  # the date goes back
    ("Pacific/Apia", "2011-12-29T00:00"),  # a date is left out
    ("Etc/UTC", "2028-02-27T00:00"),
]


# --- the model ---


@cache
def rules_of(zone: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=zone)


@cache
def local_date(at: int, zone: str) -> date:
    """The latest date that clocks in `zone` have shown up to `at`: looked up minute by minute over three hours."""
    moment = EPOCH + timedelta(milliseconds=at)
    shown = (moment - timedelta(minutes=minutes) for minutes in range(180))
    return max(each.astimezone(rules_of(zone)).date() for each in shown)


def period(window: str, at: int, zone: str) -> tuple[int, ...]:
    """A name for the day, week or month that `at` is in."""
    day = local_date(at, zone)
    if window == "day":
        return (day.year, day.month, day.day)
    return (day.isocalendar().year, day.isocalendar().week) if window == "week" else (day.year, day.month)


@dataclass
class Forgetless:
    """Every approval since the controls were set, and what they say about the next request."""

    asked_for: ControlsSet
    zone: str
    approvals: list[tuple[int, int, str]] = field(default_factory=list)  # time, amount, merchant

    def window(self, rule: VelocityRule, now: int, longer_by: int = 0) -> list[int]:
        """Amounts that a velocity rule counts at `now`; `longer_by`: milliseconds more of a trailing window."""
        if rule.window == "trailing":
            assert rule.seconds is not None
            since = EPOCH + timedelta(milliseconds=now) - timedelta(seconds=rule.seconds, milliseconds=longer_by)
            return [amount for at, amount, _ in self.approvals if EPOCH + timedelta(milliseconds=at) > since]
        this = period(rule.window, now, self.zone)
        return [amount for at, amount, _ in self.approvals if period(rule.window, at, self.zone) == this]

    def edge(self, back: int, by: int) -> int:
        """`by` milliseconds after a trailing window lets go of the approval `back` approvals ago; 0: there is none."""
        lengths = [rule.seconds * 1000 for rule in self.asked_for.velocity if rule.seconds is not None]
        if not lengths or len(self.approvals) < back:
            return 0
        return self.approvals[-back][0] + lengths[0] + by

    def exceeded(self, rule: VelocityRule, amount: int, now: int, longer_by: int = 0) -> bool:
        counted = self.window(rule, now, longer_by)
        too_many = rule.max_count is not None and len(counted) >= rule.max_count
        return too_many or (rule.max_amount is not None and sum(counted) + amount > rule.max_amount)

    def expected(self, asked: AuthorizationRequest, now: int) -> str | None:
        """The control that refuses, by the order that is documented."""
        wanted, mode = self.asked_for, asked.entry_mode
        cash = asked.kind == "cash-advance" or asked.mcc in (6010, 6011)
        takes_money = asked.kind not in ("account-verification", "refund")
        actual = {
            "mcc": f"{asked.mcc:04}", "country": asked.merchant_country, "merchant": asked.merchant_id,
            "entry-mode": asked.entry_mode,
        }  # fmt: skip
        refusals = [
            ("ecommerce", mode == "ecommerce" and not wanted.ecommerce),
            ("atm", cash and not wanted.atm),
            ("contactless", mode == "contactless" and not wanted.contactless),
            ("single-use", wanted.single_use and len(self.approvals) > 0),
            ("merchant-lock", wanted.merchant_lock and {*self.merchants(), asked.merchant_id} != {asked.merchant_id}),
            *((rule.name, (actual[rule.of] in rule.values) != (rule.mode == "allow")) for rule in wanted.lists),
            *((rule.name, takes_money and self.exceeded(rule, asked.amount, now)) for rule in wanted.velocity),
        ]
        return next((name for name, refuses in refusals if refuses), None)

    def merchants(self) -> set[str]:
        return {merchant for _, _, merchant in self.approvals}


# --- what is asked ---

LENGTHS = [10, 60, 3600, 86_400, 31 * 86_400]
amounts = st.one_of(st.integers(1, 5000), st.sampled_from([1, 100, 2500, MAX_MINOR]))
some_count = st.one_of(st.integers(0, 6), st.integers(0, 60))
some_amount = st.one_of(st.integers(0, 20_000), st.just(MAX_MINOR))
limits = st.one_of(
    st.tuples(some_count, st.none()), st.tuples(st.none(), some_amount), st.tuples(some_count, some_amount)
)


@st.composite
def velocity_rules(draw: st.DrawFn, name: str) -> VelocityRule:
    window: Any = draw(st.sampled_from(["trailing", "day", "week", "month"]))
    seconds = draw(st.sampled_from(LENGTHS)) if window == "trailing" else None
    return VelocityRule(name, window, seconds, *draw(limits))


@st.composite
def list_rules(draw: st.DrawFn, name: str) -> ListRule:
    of: Any = draw(st.sampled_from(["mcc", "country", "merchant", "entry-mode"]))
    every = {
        "mcc": ["5411", "6011", "4411"], "country": ["US", "FR"], "merchant": ["m-0", "m-1", "m-2"],
        "entry-mode": ["chip", "contactless", "ecommerce"],
    }  # fmt: skip
    values = draw(st.lists(st.sampled_from(every[of]), min_size=1, max_size=3, unique=True))
    return ListRule(name, of, draw(st.sampled_from(["allow", "deny", "deny"])), values)


@st.composite
def controls_sets(draw: st.DrawFn) -> ControlsSet:
    mostly = st.sampled_from([True, True, True, False])
    return message(
        velocity=[draw(velocity_rules(f"velocity-{at}")) for at in range(draw(st.integers(1, 3)))],
        lists=[draw(list_rules(f"list-{at}")) for at in range(draw(st.integers(0, 2)))],
        ecommerce=draw(mostly), atm=draw(mostly), contactless=draw(mostly),
        single_use=not draw(mostly), merchant_lock=not draw(mostly),
    )  # fmt: skip


requests = st.builds(
    request,
    amount=amounts,
    kind=st.sampled_from(["purchase", "purchase", "purchase", "cash-advance", "quasi-cash", "account-verification"]),
    mcc=st.sampled_from([5411, 5411, 6011, 4411]),
    merchant_country=st.sampled_from(["US", "US", "FR"]),
    merchant_id=st.sampled_from(["m-0", "m-0", "m-1", "m-2"]),
    entry_mode=st.sampled_from(["chip", "chip", "contactless", "ecommerce"]),
)
by_hand = st.sampled_from([-1, 0, 0, 1])
gaps = st.one_of(
    st.integers(0, MINUTE), st.integers(0, 2 * HOUR), st.integers(0, 40 * DAY), st.sampled_from([0, 1, HOUR, 6 * HOUR])
)
moments = st.one_of(gaps, st.tuples(st.integers(1, 6), by_hand))  # how much later, or at which edge of a window
half_hours = st.integers(0, 60).map(lambda many: many * HOUR // 2)  # stories begin at whole hours: these meet the turn


def through_msgpack(controls: Controls) -> Controls:
    encoded = msgspec.msgpack.encode(controls)
    decoded = msgspec.msgpack.decode(encoded, type=Controls)
    assert decoded == controls
    assert msgspec.msgpack.encode(decoded) == encoded
    assert len(encoded) <= LARGEST_BYTES
    for rule in decoded.velocity:
        assert isinstance(rule, Calendar) or len(rule.offsets) == len(rule.counts) == len(rule.amounts) <= MAX_ENTRIES
    return decoded


def ask(controls: Controls, asked: AuthorizationRequest, now: int, zone: str) -> str | None:
    """Ask; that must not change anything."""
    before = msgspec.msgpack.encode(controls)
    refusing = refused_by(controls, asked, asked.amount, now, zone)
    assert msgspec.msgpack.encode(controls) == before
    return refusing and refusing.name


# --- the properties ---


@settings(deadline=None)
@given(
    controls_sets(),
    st.sampled_from(STORIES),
    st.lists(st.tuples(moments, requests, st.integers(1, 100)), min_size=6, max_size=32),
)
def test_as_exact_as_a_model_that_forgets_nothing(
    wanted: ControlsSet, story: tuple[str, str], steps: list[tuple[int | tuple[int, int], AuthorizationRequest, int]]
) -> None:
    """At most 32 approvals in all, so every window is exact. Some are partial."""
    zone, start = story
    made, now = from_message(wanted), utc(start)
    assert isinstance(made, Controls)
    controls, model = made, Forgetless(wanted, zone)
    for moment, asked, percent in steps:
        now = now + moment if isinstance(moment, int) else max(now, model.edge(*moment))
        if asked.kind == "account-verification":
            asked.amount = 0
        refusing = ask(controls, asked, now, zone)
        assert refusing == model.expected(asked, now)
        if refusing is None:
            approved = max(1, asked.amount * percent // 100) if asked.amount else 0
            count(controls, asked, approved, now, zone)
            if asked.amount:
                model.approvals.append((now, approved, asked.merchant_id))
        controls = through_msgpack(controls)


many = st.integers(MAX_ENTRIES - 2, 90)
much = st.integers(80_000, 250_000)  # of 2500 each: 32 to 100 approvals


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(LENGTHS),
    st.one_of(st.tuples(many, st.none()), st.tuples(st.none(), much), st.tuples(many, much)),
    st.sampled_from([40, 60, 90, 120]),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 5000)), min_size=120, max_size=250),
)
def test_a_crowded_window_forgets_late_but_not_by_much(
    seconds: int, most: tuple[int | None, int | None], pace: int, steps: list[tuple[int, int]]
) -> None:
    """`pace` requests come in the time of one window, and the limit is near: it binds, and lets go, again and again."""
    rule = VelocityRule("crowd", "trailing", seconds, *most)
    wanted = message(velocity=[rule])
    controls, model, now, crowded = from_message(wanted), Forgetless(wanted, "Etc/UTC"), utc("2026-05-05T05:05"), False
    assert isinstance(controls, Controls)
    for percent, amount in steps:
        now += seconds * 1000 * 2 * percent // (100 * pace)
        asked = request(amount=amount)
        refusing = ask(controls, asked, now, "Etc/UTC")
        if refusing is None:
            assert not model.exceeded(rule, amount, now)
            count(controls, asked, amount, now, "Etc/UTC")
            model.approvals.append((now, amount, asked.merchant_id))
            crowded |= len(model.window(rule, now)) > MAX_ENTRIES
        else:
            assert model.exceeded(rule, amount, now, longer_by=2 * seconds * 1000 // 31)
            assert crowded or model.exceeded(rule, amount, now)
        controls = through_msgpack(controls)


@settings(deadline=None)
@given(
    st.sampled_from(STORIES),
    st.sampled_from(["day", "week", "month"]),
    st.one_of(
        st.lists(half_hours, min_size=5, max_size=40),
        st.lists(st.one_of(st.integers(0, 3 * HOUR), st.integers(0, 40 * HOUR)), min_size=5, max_size=40),
    ),
)
def test_calendar_windows_of_any_number_of_approvals(story: tuple[str, str], window: Any, steps: list[int]) -> None:
    """One approval a period, and all the rest of it refused: the turn is met at every distance."""
    zone, start = story
    wanted = message(velocity=[VelocityRule("once", window, None, 1)])
    controls, model, now = from_message(wanted), Forgetless(wanted, zone), utc(start)
    assert isinstance(controls, Controls)
    for gap in steps:
        now += gap
        asked = request()
        refusing = ask(controls, asked, now, zone)
        assert refusing == model.expected(asked, now)
        if refusing is None:
            count(controls, asked, asked.amount, now, zone)
            model.approvals.append((now, asked.amount, asked.merchant_id))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 31 * 86_400_000 // 20), st.integers(1, MAX_MINOR)), max_size=120))
def test_the_largest_controls_are_bounded(steps: list[tuple[int, int]]) -> None:
    """Eight rules and eight lists of fifty, all names as long as they may be, in the longest window."""
    longest = "n" * 62
    wanted = message(
        velocity=[VelocityRule(f"{longest}v{at}", "trailing", 31 * 86_400, 10**6, MAX_MINOR) for at in range(8)],
        lists=[
            ListRule(f"{longest}l{at}", "merchant", "deny", [f"{'m' * 62}{value:02}" for value in range(50)])
            for at in range(8)
        ],
        merchant_lock=True,
    )
    controls, now = from_message(wanted), utc("2026-05-05T05:05")
    assert isinstance(controls, Controls)
    for gap, amount in steps:
        now += gap
        count(controls, request(), amount, now, "Etc/UTC")
    through_msgpack(controls)
