"""The scenario format: what can be written, what is refused and how, and that a story can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from models.messages import AuthorizationAdvice, AuthorizationIncrement, AuthorizationRequest, ControlsSet, Presentment
from tests.support.scenario import values
from tests.support.scenario.playing import StoryFailed, play
from tests.support.scenario.reading import load
from tests.support.scenario.story import Scenario, ScenarioError

HEADER = """\
title: A story
source: nowhere
account: {limit: 500.00, currency: USD}
steps:
"""
Read = Callable[[str], Scenario]
AFTER = "held: 100.00, balance: 0.00, otb: 400.00"
APPROVED = f"  - {{at: 0s, do: authorize, id: R1, amount: 100.00, expect: approved, {AFTER}}}\n"


@pytest.fixture
def story(tmp_path: Path) -> Read:
    """Reads a text as the file `story.yaml`."""

    def read(text: str) -> Scenario:
        path = tmp_path / "story.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return read


# -- values


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "USD", 1250), ("0.00", "USD", 0), ("-0.01", "USD", -1), ("1000", "JPY", 1000),
        ("12.345", "KWD", 12345), ("1.2345", "CLF", 12345), ("90071992547409.93", "USD", 9007199254740993),
    ],
)  # fmt: skip
def test_amounts_are_minor_units_by_the_currency(text: str, currency: str, minor: int) -> None:
    assert values.amount(text, currency) == minor
    assert values.shown(minor, currency) == text


@pytest.mark.parametrize(
    ("text", "currency"),
    [("12.5", "USD"), ("12", "USD"), ("12.500", "USD"), ("1.0", "JPY"), ("1e3", "JPY"), ("NaN", "USD"), ("1_0", "JPY"),
     ("+1.00", "USD"), ("1,000.00", "USD"), ("", "JPY"), ("\uff11\uff12", "JPY"), ("1.00", "ZZZ"), ("0.0.0", "USD")],
)  # fmt: skip
def test_what_is_no_amount(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=currency):
        values.amount(text, currency)


def test_offsets_and_local_times() -> None:
    new_york = ZoneInfo("America/New_York")
    assert values.moment("1d2h3m4s5ms", 7, new_york) == 7 + 93_784_005
    before, after = (values.moment(f"2026-03-08 0{hour}:00", 0, new_york) for hour in (1, 3))
    assert after - before == 3_600_000
    first, second = (values.moment(f"2026-11-01 01:30{offset}", 0, new_york) for offset in ("-04:00", "-05:00"))
    assert second - first == 3_600_000
    assert values.moment("1970-01-02 00:00:00.250", 0, ZoneInfo("Etc/UTC")) == 86_400_250


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-03-08 02:30", "does not exist"), ("2026-11-01 01:30", "comes twice"), ("", "neither"), ("5", "neither"),
        ("1s1m", "neither"), ("soon", "neither"), ("2026-13-01 00:00", "month"),
    ],
)  # fmt: skip
def test_what_is_no_moment(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        values.moment(text, 0, ZoneInfo("America/New_York"))


# -- what can be written


def test_short_names_full_names_and_defaults(story: Read) -> None:
    line = (
        "  - {at: 1s, do: authorize, id: R1, amount: 108.50, mcc: 0763, mode: ecommerce, pre: yes, "
        "merchant_city: Lyon, merchant_amount: 100, merchant_currency: JPY, rate: 1.085, rrn: '600100000001', "
        f"by: merchant, expect: approved, {AFTER}}}"
    )
    [step] = story(HEADER + line).steps
    message = step.said[0].message
    assert isinstance(message, AuthorizationRequest)
    assert (message.network_reference, message.amount, message.currency, message.mcc) == ("R1", 10850, "USD", 763)
    assert (message.entry_mode, message.card_present, message.pre_authorization) == ("ecommerce", False, True)
    assert (message.merchant_amount, message.merchant_currency, message.conversion_rate) == (100, "JPY", 108_500_000)
    assert (message.rrn, message.merchant_city, message.initiated_by) == ("600100000001", "Lyon", "merchant")
    assert (message.card_token, message.card_expiry) == ("C1", 203012)


def test_verbs_set_what_they_mean(story: Read) -> None:
    lines = [
        "{at: 0s, do: increment, of: R1, total: 1.00, expect: declined, reason: no-matching-hold",
        "{at: 0s, do: increment, of: R1, delta: 2.00, expect: declined, reason: no-matching-hold",
        "{at: 0s, do: complete, id: A1, of: R1, amount: 3.00, expect: placed",
        "{at: 0s, do: stand-in, id: S1, approved: no, amount: 4.00, expect: noted",
        "{at: 0s, do: present, of: R1, amount: 5.00, expect: applied",
        "{at: 0s, do: controls, velocity: [{name: day, window: day, max_amount: 6.00, max_count: 2}], expect: applied",
    ]
    read = story(HEADER + "".join(f"  - {line}, {AFTER}}}\n" for line in lines))
    total, delta, completion, stand_in, presentment, controls = (step.said[0].message for step in read.steps)
    assert isinstance(total, AuthorizationIncrement)
    assert isinstance(delta, AuthorizationIncrement)
    assert (total.amount_is, total.amount, delta.amount_is, delta.amount) == ("total", 100, "delta", 200)
    assert isinstance(completion, AuthorizationAdvice)
    assert isinstance(stand_in, AuthorizationAdvice)
    assert (completion.reason, completion.approved, stand_in.reason, stand_in.approved) == (
        "completion", True, "stand-in", False,
    )  # fmt: skip
    assert isinstance(presentment, Presentment)
    assert (presentment.network_reference, presentment.final, presentment.card_token) == ("R1", True, None)
    assert isinstance(controls, ControlsSet)
    assert [(rule.max_amount, rule.max_count, rule.seconds) for rule in controls.velocity] == [(600, 2, None)]


def test_a_repeat_is_the_earlier_message_with_changes_at_another_time(story: Read) -> None:
    repeat = f"  - {{at: 9s, do: repeat, step: 1, merchant_id: M9, expect: approved, same-as: 1, {AFTER}}}\n"
    first, second = (step.said[0].message for step in story(HEADER + APPROVED + repeat).steps)
    assert isinstance(first, AuthorizationRequest)
    assert second == replace(first, merchant_id="M9", transmitted_at=first.transmitted_at + 9000)


def test_times_numbers_the_messages_of_one_slice(story: Read) -> None:
    line = f"  - {{at: 0s, do: present, id: P#, of: R#, amount: 1.00, times: 3, expect: applied, {AFTER}}}\n"
    [step] = story(HEADER + line).steps
    messages = [said.message for said in step.said if isinstance(said.message, Presentment)]
    assert [(message.message_id, message.network_reference) for message in messages] == [
        ("P1", "R1"), ("P2", "R2"), ("P3", "R3"),
    ]  # fmt: skip


# -- what is refused: one line, with the file, the step and the key


def line(left: str = "at: 0s, do: authorize, amount: 1.00", right: str = f"expect: approved, {AFTER}") -> str:
    return f"{HEADER}  - {{{left}, {right}}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (line("at: 0s, do: authorize, amont: 1.00"), "step 1: amont: is no field of `authorize`"),
        (line("at: 0s, do: authorize, amount: 1.0"), "step 1: amount: '1.0' is not an amount of USD"),
        (line("at: 0s, do: authorize, amount: [1.00]"), "step 1: amount: wants a single value"),
        (line("at: 0s, do: authorize"), "step 1: amount: is missing, and `authorize` needs it"),
        (line("at: 0s, do: authorise, amount: 1.00"), "step 1: do: 'authorise' is none of repeat, open, authorize"),
        (line("do: authorize, amount: 1.00"), "step 1: at: is missing"),
        (line("at: later, do: authorize, amount: 1.00"), "step 1: at: 'later' is neither"),
        (line("at: 0s, do: authorize, amount: 1.00, partial: maybe"), "step 1: partial_approval: 'maybe' is"),
        (line("at: 0s, do: authorize, amount: 1.00, mcc: 1.5"), "step 1: mcc: '1.5' is not a whole number"),
        (line("at: 0s, do: authorize, amount: 1.00, expiry: 203012"), "step 1: card_expiry: '203012' is not a month"),
        (line("at: 0s, do: authorize, amount: 1.00, card: X, card_token: Y"), "step 1: card_token: gives card_token a"),
        (line("at: 0s, do: authorize, amount: 1.00, version: 2"), "step 1: version: is no field"),
        (line("at: 0s, do: authorize, amount: 1.00, amount: 2.00"), "line 5: amount: stands twice"),
        (line("at: 0s, do: authorize, amount: 1.00, times: 2"), "step 1: id: wants a #"),
        (line("at: 0s, do: authorize, amount: 1.00, score: high"), "step 1: score: 'high' is not a whole number"),
        (line("at: 0s, do: authorize, amount: 1.00, model: off"), "step 1: model: 'off' is neither up nor down"),
        (line("at: 0s, do: authorize, amount: 1.00, literal: {amont: 1}"), "step 1: amont: is unknown in literal"),
        (line("at: 0s, do: present, of: X, amount: 1.00, code: from 4"), "step 1: code: there is no earlier step '4'"),
        (line("at: 0s, do: repeat, step: 1"), "step 1: step: there is no earlier step '1'"),
        (line("at: 0s, do: repeat"), "step 1: step: is missing"),
        (line("at: 0s, do: controls, velocity: [{name: x, windw: day}]"), "step 1: windw: is no field of a rule"),
        (line("at: 0s, do: controls, velocity: [{name: x}]"), "step 1: window: is missing in a rule"),
        (line(right=AFTER), "step 1: expect: is missing"),
        (line(right="expect: approved, held: 1.00, balance: 0.00"), "step 1: otb: is missing"),
        (line(right=f"expect: approved, {AFTER}, blance: 1.00"), "step 1: blance: is nothing that can be expected"),
        (line(right=f"expect: approved, rule: none, {AFTER}"), "step 1: rule: is nothing that can be expected here"),
        (line(right=f"expect: declined, {AFTER}"), "step 1: reason: is missing"),
        (line(right=f"expect: partially-approved, {AFTER}"), "step 1: approved: is missing"),
        (line(right=f"expect: nothing, reason: control, {AFTER}"), "step 1: reason: nothing comes back"),
        (line(right=f"expect: approved, same-as: 1, {AFTER}"), "step 1: same-as: there is no earlier step '1'"),
        (line(right=f"expect: approved, {AFTER}, entries: hold-placed 1.00"), "step 1: entries: wants a list"),
        (line(right=f"expect: approved, {AFTER}, entries: [hold-placed]"), "step 1: entries: every item is a name"),
        (line(right=f"expect: approved, {AFTER}, entries: [hold-placed 1]"), "step 1: entries: '1' is not an amount"),
        (line(right="expect: approved, held: 1, balance: 0.00, otb: 0.00"), "step 1: held: '1' is not an amount"),
        (line(right=f"expect: approved, fraud-score: low, {AFTER}"), "step 1: fraud-score: 'low' is not a whole"),
        (f"{HEADER}  - {{at: 0s, do: pay, amount: 1.00,\n     expect: applied, {AFTER}}}\n", "step 1: a message and"),
        (f"{HEADER}  - at: 0s\n    together: []\n", "step 1: together: wants a list of messages"),
        (f"{HEADER}  - at: 0s\n    together:\n      - {{do: pay, amount: 1.00, expect: applied, held: 0.00}}\n",
         "step 1: held: belongs to the step, beside `together`"),
        (f"{HEADER}  - at: 0s\n    together:\n      - {{do: pay, amount: 1.00, expect: applied}}\n",
         "step 1: held: is missing"),
        (HEADER + APPROVED + "  - 5\n", "step 2: is no mapping"),
        (HEADER.replace("title: A story\n", "") + APPROVED, "title: is missing in the header"),
        (HEADER.replace("nowhere", "") + APPROVED, "source: is missing in the header"),
        (HEADER, "steps: is missing in the header"),
        ("colour: red\n" + HEADER + APPROVED, "colour: is unknown in the header"),
        (HEADER.replace("USD", "ZZZ") + APPROVED, "account: currency: 'ZZZ' is not an active ISO 4217 currency"),
        (HEADER.replace("500.00", "500") + APPROVED, "account: limit: '500' is not an amount of USD"),
        (HEADER.replace("limit: 500.00, ", "") + APPROVED, "account: limit: is missing"),
        (HEADER.replace("currency", "curency") + APPROVED, "curency: is unknown in account"),
        (HEADER.replace("USD}", "USD, zone: Mars/Olympus}") + APPROVED, "account: zone: 'Mars/Olympus' is no time"),
        ("issuer: {fraud-cut: 0.9}\n" + HEADER + APPROVED, "issuer: fraud-cut: '0.9' is not a whole number"),
        (HEADER.replace("{limit: 500.00, currency: USD}", "none") + APPROVED, "step 1: held: there is no account yet"),
        (HEADER + "  - {at: 0s, do: [\n", "line 6: expected"),
        ("", "is no mapping with title, source, account and steps"),
        ("- 1\n", "is no mapping with title, source, account and steps"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(story: Read, text: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        story(text)
    said = str(caught.value)
    assert said.startswith(f"story.yaml: {problem}")
    assert "\n" not in said


# -- a story can fail


def test_a_right_story_is_played_to_its_end(story: Read) -> None:
    rows = play(story(HEADER + APPROVED))
    assert [row.holds for row in rows] == [True]


@pytest.mark.parametrize(
    ("right", "difference"),
    [
        (f"expect: declined, reason: unknown-card, {AFTER}", "outcome declined  outcome approved"),
        ("expect: approved, held: 99.00, balance: 0.00, otb: 400.00", "held 99.00  held 100.00"),
        ("expect: approved, held: 100.00, balance: 1.00, otb: 400.00", "balance 1.00  balance 0.00"),
        ("expect: approved, held: 100.00, balance: 0.00, otb: 401.00", "otb 401.00  otb 400.00"),
        (f"expect: approved, approved: 90.00, {AFTER}", "approved_amount 90.00  approved_amount 100.00"),
        (f"expect: approved, {AFTER}, entries: []", "entries none  entries hold-placed 100.00"),
        (f"expect: approved, {AFTER}, entries: [hold-placed 90.00]", "entries hold-placed 90.00  entries hold-placed"),
        (f"expect: approved, {AFTER}, scored: [R1 5]", "scored later R1 5  scored later none"),
        (f"expect: approved, {AFTER}, flagged: [R1]", "flagged R1  flagged none"),
        (f"expect: approved, {AFTER}, review: 1.00", "review 1.00  review 0.00"),
        (f"expect: approved, dead-letter: parked, {AFTER}", "dead letters parked  dead letters none"),
        (f"expect: nothing, {AFTER}", "outcome nothing  outcome approved"),
        (f"expect: approved, stand-in: yes, {AFTER}", "stand_in True  stand_in False"),
    ],
)  # fmt: skip
def test_every_expectation_can_fail(story: Read, right: str, difference: str) -> None:
    with pytest.raises(StoryFailed) as caught:
        play(story(f"{HEADER}  - {{at: 0s, do: authorize, id: R1, amount: 100.00, {right}}}\n"))
    assert " ".join(difference.split()) in " ".join(str(caught.value).split())


def test_a_failing_story_is_shown_as_a_table_up_to_the_step_that_failed(story: Read) -> None:
    wrong = "  - {at: 1s, do: pay, amount: 10.00, expect: applied, held: 100.00, balance: 10.00, otb: 410.00}\n"
    never = "  - {at: 2s, do: tick, expect: nothing, held: 0.00, balance: 0.00, otb: 0.00}\n"
    with pytest.raises(StoryFailed) as caught:
        play(story(HEADER + APPROVED + wrong + never))
    title, titles, first, second, difference = str(caught.value).splitlines()
    assert title == "story: A story"
    assert titles.split() == ["step", "message", "expected", "got"]
    assert first.startswith("1 ")
    assert "all of it" in first
    assert second.startswith("2 ")
    assert difference.split() == ["balance", "10.00", "balance", "-10.00"]


def test_a_reply_that_differs_or_a_row_that_changes_is_no_replay(story: Read) -> None:
    other = (
        "  - {at: 1s, do: authorize, id: R2, amount: 100.00, expect: approved, same-as: 1, held: 200.00, "
        "balance: 0.00, otb: 300.00}\n"
    )
    with pytest.raises(StoryFailed) as caught:
        play(story(HEADER + APPROVED + other))
    said = " ".join(str(caught.value).split())
    assert "that of 1 but for network_reference" in said
    assert "the row unchanged the row changed" in said
    assert "entries none entries hold-placed 100.00" in said
