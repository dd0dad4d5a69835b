"""Controls, one at a time: what each refuses, what each counts, and which messages cannot be used."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.controls import Controls, InvalidControls, count, from_message, refused_by
from models.messages import AuthorizationRequest, ListRule, VelocityRule
from models.money import MAX_MINOR
from models.velocity import MAX_ENTRIES, Trailing
from tests.support.messages import DAY, SECOND, T0, request
from tests.support.messages import controls as message

NEW_YORK = "America/New_York"


def rules(**changes: Any) -> Controls:
    made = from_message(message(**changes))
    assert isinstance(made, Controls)
    return made


def trailing(seconds: int = 60, max_count: int | None = None, max_amount: int | None = None) -> VelocityRule:
    return VelocityRule("fast", "trailing", seconds, max_count, max_amount)


def calendar(window: Any, max_count: int | None = None, max_amount: int | None = None) -> VelocityRule:
    return VelocityRule(f"per-{window}", window, None, max_count, max_amount)


def ask(controls: Controls, now: int = T0, zone: str = "Etc/UTC", **changes: Any) -> str | None:
    """Ask, and count when nothing refuses."""
    asked = request(**changes)
    refusing = refused_by(controls, asked, asked.amount, now, zone)
    if refusing is None:
        count(controls, asked, asked.amount, now, zone)
    return refusing and refusing.name


def asks(controls: Controls, asked: AuthorizationRequest, now: int = T0) -> str | None:
    refusing = refused_by(controls, asked, asked.amount, now, "Etc/UTC")
    return refusing and refusing.name


# --- toggles ---


@pytest.mark.parametrize(
    ("toggle", "refused", "accepted"),
    [
        ("ecommerce", {"entry_mode": "ecommerce"}, {"entry_mode": "recurring"}),
        ("contactless", {"entry_mode": "contactless"}, {"entry_mode": "chip"}),
        ("atm", {"mcc": 6011}, {"mcc": 6012}),
        ("atm", {"mcc": 6010}, {"mcc": 6051, "kind": "quasi-cash"}),
        ("atm", {"mcc": 5411, "kind": "cash-advance"}, {"mcc": 5411}),
    ],
)
def test_a_toggle_that_is_off_refuses_by_its_name(
    toggle: str, refused: dict[str, Any], accepted: dict[str, Any]
) -> None:
    controls = rules(**{toggle: False})
    assert asks(controls, request(**refused)) == toggle
    assert asks(controls, request(**accepted)) is None


# --- lists ---


@pytest.mark.parametrize(
    ("of", "values", "on", "off"),
    [
        ("mcc", ["0742", "5411"], {"mcc": 742}, {"mcc": 7420}),
        ("country", ["US", "CA"], {"merchant_country": "CA"}, {"merchant_country": "MX"}),
        ("merchant", ["m-1"], {"merchant_id": "m-1"}, {"merchant_id": "m-10"}),
        ("entry-mode", ["chip", "contactless"], {"entry_mode": "chip"}, {"entry_mode": "magstripe"}),
    ],
)
def test_lists_allow_or_deny(of: Any, values: list[str], on: dict[str, Any], off: dict[str, Any]) -> None:
    only = rules(lists=[ListRule("only-these", of, "allow", values)])
    assert asks(only, request(**on)) is None
    assert asks(only, request(**off)) == "only-these"
    never = rules(lists=[ListRule("never-these", of, "deny", values)])
    assert asks(never, request(**on)) == "never-these"
    assert asks(never, request(**off)) is None


# --- single use and merchant lock ---


def test_a_single_use_card_is_used_once() -> None:
    controls = rules(single_use=True)
    assert ask(controls) is None
    assert ask(controls) == "single-use"
    assert ask(controls, kind="account-verification", amount=0) == "single-use"


def test_a_merchant_lock_closes_on_the_first_merchant() -> None:
    controls = rules(merchant_lock=True)
    assert ask(controls, merchant_id="first") is None
    assert ask(controls, merchant_id="second") == "merchant-lock"
    assert ask(controls, merchant_id="second", kind="account-verification", amount=0) == "merchant-lock"
    assert ask(controls, merchant_id="first") is None


def test_a_verification_neither_uses_nor_locks_nor_counts() -> None:
    controls = rules(single_use=True, merchant_lock=True, velocity=[trailing(max_count=1)])
    before = msgspec.msgpack.encode(controls)
    assert ask(controls, kind="account-verification", amount=0, merchant_id="elsewhere") is None
    assert msgspec.msgpack.encode(controls) == before
    assert ask(controls) is None


def test_a_verification_obeys_toggles_and_lists_but_no_velocity() -> None:
    controls = rules(
        ecommerce=False, lists=[ListRule("home", "country", "allow", ["US"])], velocity=[trailing(max_count=0)]
    )
    verification: dict[str, Any] = {"kind": "account-verification", "amount": 0}
    assert asks(controls, request(**verification)) is None
    assert asks(controls, request(**verification, entry_mode="ecommerce")) == "ecommerce"
    assert asks(controls, request(**verification, merchant_country="FR")) == "home"
    assert asks(controls, request()) == "fast"


def test_a_refund_counts_for_nothing() -> None:
    controls = rules(single_use=True, velocity=[trailing(max_amount=1000)])
    before = msgspec.msgpack.encode(controls)
    count(controls, request(kind="refund"), 1000, T0, "Etc/UTC")
    assert msgspec.msgpack.encode(controls) == before


# --- velocity ---


def test_a_trailing_count_forgets_an_approval_exactly_one_window_later() -> None:
    controls = rules(velocity=[trailing(seconds=60, max_count=2)])
    assert ask(controls, now=T0) is None
    assert ask(controls, now=T0 + 1) is None
    assert ask(controls, now=T0 + 60 * SECOND - 1) == "fast"
    assert ask(controls, now=T0 + 60 * SECOND) is None
    assert ask(controls, now=T0 + 60 * SECOND) == "fast"
    assert ask(controls, now=T0 + 60 * SECOND + 1) is None


def test_a_trailing_amount_may_be_reached_but_not_passed() -> None:
    controls = rules(velocity=[trailing(max_amount=2500)])
    assert ask(controls, amount=1500) is None
    assert ask(controls, amount=1001) == "fast"
    assert ask(controls, amount=1000) is None
    assert ask(controls, amount=1) == "fast"


@pytest.mark.parametrize("rule", [trailing(max_count=1, max_amount=1000), calendar("day", 1, 1000)])
def test_a_limit_says_whether_count_or_amount_is_exceeded(rule: VelocityRule) -> None:
    controls = rules(velocity=[rule])
    assert refused_by(controls, request(), 1001, T0, "Etc/UTC") == (rule.name, "amount")
    count(controls, request(), 500, T0, "Etc/UTC")
    assert refused_by(controls, request(), 500, T0, "Etc/UTC") == (rule.name, "count")
    assert refused_by(controls, request(), 501, T0, "Etc/UTC") == (rule.name, "count"), "the count first"


def test_what_was_asked_decides_and_what_was_approved_counts() -> None:
    """A partial approval of 400 of 1000 leaves 600 of 1000."""
    controls = rules(velocity=[trailing(max_amount=1000)])
    count(controls, request(), 400, T0, "Etc/UTC")
    assert ask(controls, amount=601) == "fast"
    assert ask(controls, amount=600) is None


def test_nothing_at_all_may_pass_a_rule_of_zero() -> None:
    assert ask(rules(velocity=[trailing(max_count=0)]), amount=1) == "fast"
    assert ask(rules(velocity=[calendar("day", max_amount=0)]), amount=1) == "per-day"


def test_a_refused_request_leaves_no_trace() -> None:
    controls = rules(velocity=[trailing(max_count=1), calendar("day", max_amount=1500)], merchant_lock=True)
    assert ask(controls) is None
    before = msgspec.msgpack.encode(controls)
    assert ask(controls) == "fast"
    assert ask(controls, now=T0 + DAY // 24) == "per-day"
    assert ask(controls, now=T0 + 2 * DAY, merchant_id="other") == "merchant-lock"
    assert refused_by(controls, request(), 1000, T0 + 40 * DAY, NEW_YORK) is None
    assert msgspec.msgpack.encode(controls) == before


def test_the_longest_window_is_exact_too() -> None:
    month = 31 * DAY
    controls = rules(velocity=[trailing(seconds=31 * 86_400, max_count=1)])
    assert ask(controls, now=T0) is None
    assert ask(controls, now=T0 + month - 1) == "fast"
    assert ask(controls, now=T0 + month) is None


def test_beyond_32_approvals_the_closest_neighbours_merge_at_the_later_time() -> None:
    """33 approvals, a second apart but for the tenth, which comes half a second after the ninth: those two merge."""
    controls = rules(velocity=[trailing(seconds=60, max_count=33)])
    times = [T0 + at * SECOND for at in range(33)]
    times[9] = times[8] + 500
    assert [ask(controls, now=at) for at in times] == [None] * 33
    (window,) = controls.velocity
    assert isinstance(window, Trailing)
    assert len(window.offsets) == len(window.counts) == len(window.amounts) == MAX_ENTRIES
    assert sum(window.counts) == 33
    assert window.counts[8] == 2
    assert window.base + window.offsets[8] == times[9]

    ninth_and_tenth = times[9] + 60 * SECOND
    assert ask(controls, now=ninth_and_tenth - 1) is None  # the first eight have gone
    before = sum(window.counts)
    count(controls, request(), 1000, ninth_and_tenth, "Etc/UTC")
    assert sum(window.counts) == before - 2 + 1


def test_approvals_at_one_moment_are_one_entry_and_stay_exact() -> None:
    controls = rules(velocity=[trailing(seconds=10, max_count=100)])
    assert [ask(controls, now=T0) for _ in range(101)] == [None] * 100 + ["fast"]
    (window,) = controls.velocity
    assert isinstance(window, Trailing)
    assert window.offsets == [0]
    assert ask(controls, now=T0 + 10 * SECOND) is None


@pytest.mark.parametrize(
    ("window", "last", "first"),
    [
        # New York, in UTC: the day ends at 04:00, the ISO week on Monday the 28th, the month with September.
        ("day", 1_790_049_599_999, 1_790_049_600_000),
        ("week", 1_790_567_999_999, 1_790_568_000_000),
        ("month", 1_790_827_199_999, 1_790_827_200_000),
    ],
)
def test_calendar_windows_turn_at_local_midnight(window: str, last: int, first: int) -> None:
    controls = rules(velocity=[calendar(window, max_count=1)])
    assert ask(controls, now=T0, zone=NEW_YORK) is None
    assert ask(controls, now=last, zone=NEW_YORK) == f"per-{window}"
    assert ask(controls, now=first, zone=NEW_YORK) is None
    assert ask(controls, now=first, zone=NEW_YORK) == f"per-{window}"


def test_a_new_period_begins_at_nothing() -> None:
    """Count and amount both: 1500 of today and 1500 of tomorrow are each within 2000 a day."""
    controls = rules(velocity=[calendar("day", max_count=2, max_amount=2000)])
    for day in range(3):
        assert ask(controls, now=T0 + day * DAY, amount=1500) is None
        assert ask(controls, now=T0 + day * DAY + 1, amount=501) == "per-day"
        assert ask(controls, now=T0 + day * DAY + 2, amount=500) is None
        assert ask(controls, now=T0 + day * DAY + 3, amount=0) == "per-day"


def test_a_day_of_25_hours_is_one_day() -> None:
    """New York, 1 November 2026: from 04:00 UTC to 05:00 UTC of the 2nd."""
    begins = 1_793_505_600_000
    controls = rules(velocity=[calendar("day", max_amount=1500)])
    assert ask(controls, now=begins, zone=NEW_YORK) is None
    assert ask(controls, now=begins + 25 * 3_600_000 - 1, zone=NEW_YORK) == "per-day"
    assert ask(controls, now=begins + 25 * 3_600_000, zone=NEW_YORK) is None


def test_sums_beyond_64_bits_are_not_reached() -> None:
    controls = rules(velocity=[calendar("month", max_amount=MAX_MINOR), trailing(max_amount=MAX_MINOR)])
    (month, minute) = controls.velocity
    for at in range(40):  # more than a trailing window keeps, so that entries merge as well
        for _ in range(20):
            month.add(1 << 60, T0 + at, "Etc/UTC")
            minute.add(1 << 60, T0 + at, "Etc/UTC")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(controls), type=Controls) == controls
    assert ask(controls, amount=1) == "per-month"
    assert minute.exceeded_by(1, T0 + 40) == "amount"


# --- which one is named ---


def test_the_first_control_that_refuses_is_named() -> None:
    controls = rules(
        ecommerce=False, contactless=False, atm=False, single_use=True, merchant_lock=True,
        lists=[ListRule("no-travel", "mcc", "deny", ["4411"]), ListRule("home", "country", "allow", ["US"])],
        velocity=[calendar("day", max_count=1), trailing(max_count=1)],
    )  # fmt: skip
    assert ask(controls) is None
    away: dict[str, Any] = {"merchant_id": "other", "mcc": 4411, "merchant_country": "FR"}
    assert ask(controls, **away, entry_mode="ecommerce", kind="cash-advance") == "ecommerce"
    assert ask(controls, **away, entry_mode="contactless", kind="cash-advance") == "atm"
    assert ask(controls, **away, entry_mode="contactless") == "contactless"
    assert ask(controls, **away) == "single-use"
    controls.used = False
    assert ask(controls, **away) == "merchant-lock"
    controls.locked_merchant = "other"
    assert ask(controls, **away) == "no-travel"
    assert ask(controls, **(away | {"mcc": 5411})) == "home"
    assert ask(controls, merchant_id="other") == "per-day"
    assert ask(controls, merchant_id="other", now=T0 + 30 * SECOND) == "per-day"


# --- messages ---


def test_controls_that_restrict_nothing_are_none() -> None:
    assert from_message(message()) is None
    assert from_message(message(card_token="card-1")) is None


@pytest.mark.parametrize(
    "restriction",
    [
        {"ecommerce": False}, {"atm": False}, {"contactless": False}, {"single_use": True}, {"merchant_lock": True},
        {"lists": [ListRule("l", "mcc", "deny", ["7995"])]}, {"velocity": [trailing(max_count=1)]},
    ],
)  # fmt: skip
def test_any_restriction_makes_controls(restriction: dict[str, Any]) -> None:
    assert isinstance(from_message(message(**restriction)), Controls)


def test_setting_controls_again_starts_the_counters_anew() -> None:
    again = {"velocity": [trailing(max_count=1)], "single_use": True}
    controls = rules(**again)
    ask(controls)
    assert ask(controls) == "single-use"
    assert ask(rules(**again)) is None


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"velocity": [VelocityRule("a", "trailing", None, 1)]}, "velocity[0].seconds", "length"),
        ({"velocity": [VelocityRule("a", "day", 60, 1)]}, "velocity[0].seconds", "calendar"),
        ({"velocity": [trailing(max_count=1), VelocityRule("b", "week")]}, "velocity[1]", "limits nothing"),
        ({"velocity": [trailing(max_count=1), trailing(max_count=2)]}, "velocity[1].name", "'fast'"),
        (
            {"velocity": [trailing(max_count=1)], "lists": [ListRule("fast", "mcc", "deny", ["5411"])]},
            "lists[0].name",
            "'fast'",
        ),
        ({"lists": [ListRule("single-use", "mcc", "deny", ["5411"])]}, "lists[0].name", "'single-use'"),
        ({"velocity": [VelocityRule("atm", "day", None, 1)]}, "velocity[0].name", "'atm'"),
        ({"lists": [ListRule("a", "mcc", "deny", ["5411", "541"])]}, "lists[0].values[1]", "'541'"),
        ({"lists": [ListRule("a", "mcc", "deny", ["54l1"])]}, "lists[0].values[0]", "four digits"),
        ({"lists": [ListRule("a", "mcc", "deny", ["٥٤١١"])]}, "lists[0].values[0]", "four digits"),
        ({"lists": [ListRule("a", "country", "allow", ["us"])]}, "lists[0].values[0]", "two capitals"),
        ({"lists": [ListRule("a", "country", "allow", ["USA"])]}, "lists[0].values[0]", "'USA'"),
        ({"lists": [ListRule("a", "entry-mode", "deny", ["swipe"])]}, "lists[0].values[0]", "magstripe"),
    ],
)
def test_what_cannot_be_used_is_named_not_raised(changes: dict[str, Any], field: str, says: str) -> None:
    invalid = from_message(message(**changes))
    assert isinstance(invalid, InvalidControls)
    assert invalid.field == field
    assert says in invalid.detail


# --- the row ---


def test_a_small_set_of_controls_takes_little_of_the_row() -> None:
    controls = rules(
        atm=False, velocity=[trailing(seconds=3600, max_count=5), calendar("day", max_amount=100_000)],
        lists=[ListRule("no-betting", "mcc", "deny", ["7995", "7800", "7801", "7802"])],
    )  # fmt: skip
    for at in range(5):
        assert ask(controls, now=T0 + at * 600 * SECOND) is None
    assert len(msgspec.msgpack.encode(controls)) < 160
