"""The auditor alone: replies made by hand from the cases are accepted, and a reply that is wrong by one is not.

Amounts are those of the cases in minor units; the account has a limit of 1,000.00 unless a test says otherwise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from models.messages import (
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationDecision,
    JournalEntry,
    Posting,
    ReversalAcknowledgement,
    VelocityRule,
)
from tests.support import messages as say
from tests.support.auditor import Auditor, Disagreement
from tests.support.auditor.calendar import life, period

ACCOUNT = "acct-1"
LIMIT = 100_000
SIDES = {  # (debit, credit)
    "hold-placed": ("open-holds", "hold-commitments"),
    "hold-released": ("hold-commitments", "open-holds"),
    "presentment-posted": ("cardholder-receivable", "network-settlement"),
}


@dataclass
class Told:
    """A story whose replies are written by hand: each call says one message and the answer that is claimed for it.

    Times run forward by a second a message. `otb`, `balance` and `held` are what the account has afterwards.
    """

    auditor: Auditor = field(default_factory=Auditor)
    now: int = say.T0

    def __post_init__(self) -> None:
        self.update(say.opened(credit_limit=LIMIT), "applied", balance=0, held=0, otb=LIMIT)

    def update(self, message: Any, outcome: str, *, balance: int, held: int, otb: int, **said: Any) -> str | None:
        sent = self._send(message)
        reply = AccountUpdate(
            "account-update", 1, sent.message_id, ACCOUNT, sent.type, outcome, getattr(sent, "amount", 0), "USD",
            balance, held, otb, self.now, **said,
        )  # fmt: skip
        return self.auditor.check(sent, reply)

    def decision(self, message: Any, outcome: Any, amount: int, *, otb: int, **said: Any) -> str | None:
        sent = self._send(message)
        reply = AuthorizationDecision(
            "authorization-decision", 1, sent.network_reference, ACCOUNT, outcome, None, sent.amount, "USD",
            None if outcome == "declined" else "A1B2C3", otb, None, [], None, self.now, amount,
        )  # fmt: skip
        return self.auditor.check(sent, replace(reply, **said))

    def reversed(self, message: Any, outcome: str, released: int, *, otb: int) -> str | None:
        sent = self._send(message)
        reply = ReversalAcknowledgement(
            "reversal-acknowledgement", 1, sent.message_id, sent.network_reference, ACCOUNT, outcome, released, otb,
            self.now,
        )  # fmt: skip
        return self.auditor.check(sent, reply)

    def advised(self, message: Any, outcome: str, held: int, *, otb: int) -> str | None:
        sent = self._send(message)
        reply = AdviceAcknowledgement(
            "advice-acknowledgement", 1, sent.network_reference, ACCOUNT, outcome, sent.amount, held, otb, self.now
        )
        return self.auditor.check(sent, reply)

    def _send(self, message: Any) -> Any:
        self.now += say.SECOND
        return replace(message, transmitted_at=self.now)


@pytest.fixture
def told() -> Told:
    return Told()


def hundred_on_hold(told: Told) -> None:
    told.decision(say.request(amount=100), "approved", 100, otb=LIMIT - 100)


def test_a11_a_new_total_equal_to_the_hold_changes_nothing_and_130_holds_130(told: Told) -> None:
    hundred_on_hold(told)
    told.decision(say.increment(amount=100, amount_is="total"), "approved", 100, otb=LIMIT - 100)
    total = say.increment(amount=130, reference="inc-2", amount_is="total")
    with pytest.raises(Disagreement, match="approved_amount: engine 230, auditor 130"):
        copy.deepcopy(told).decision(total, "approved", 230, otb=LIMIT - 230)
    told.decision(total, "approved", 130, otb=LIMIT - 130)
    told.decision(say.increment(amount=30, reference="inc-3"), "approved", 160, otb=LIMIT - 160)


def test_b1_auth_100_clear_70_and_20_reverse_releases_10(told: Told) -> None:
    hundred_on_hold(told)
    matched = {"hold_reference": "ref-1", "match_rule": "network-reference"}
    first = say.presentment(amount=70, final=False)
    told.update(first, "applied", balance=70, held=30, otb=LIMIT - 100, **matched)
    second = say.presentment(amount=20, final=False, message_id="pres-2")
    told.update(second, "applied", balance=90, held=10, otb=LIMIT - 100, **matched)
    with pytest.raises(Disagreement, match="released: engine 100, auditor 10"):
        copy.deepcopy(told).reversed(say.reversal(), "released", 100, otb=LIMIT)
    told.reversed(say.reversal(), "released", 10, otb=LIMIT - 90)


@pytest.mark.parametrize(("final", "held"), [(True, 0), (False, 20)])
def test_b2_a_final_clearing_leaves_no_hold_another_leaves_the_rest(told: Told, final: bool, held: int) -> None:
    hundred_on_hold(told)
    matched = {"hold_reference": "ref-1", "match_rule": "network-reference"}
    clearing = say.presentment(amount=80, final=final)
    with pytest.raises(Disagreement, match="open_holds"):
        copy.deepcopy(told).update(clearing, "applied", balance=80, held=20 - held, otb=LIMIT - 80 - held, **matched)
    told.update(clearing, "applied", balance=80, held=held, otb=LIMIT - 80 - held, **matched)


def test_b3_auth_100_clear_80_reverse_40_releases_what_is_left(told: Told) -> None:
    hundred_on_hold(told)
    matched = {"hold_reference": "ref-1", "match_rule": "network-reference"}
    told.update(say.presentment(amount=80, final=False), "applied", balance=80, held=20, otb=LIMIT - 100, **matched)
    with pytest.raises(Disagreement, match="released: engine 40, auditor 20"):
        copy.deepcopy(told).reversed(say.reversal(amount=40), "released", 40, otb=LIMIT - 60)
    told.reversed(say.reversal(amount=40), "released", 20, otb=LIMIT - 80)


def test_b4_clearing_over_the_hold_posts_all_of_it_even_past_the_limit(told: Told) -> None:
    told.decision(say.request(amount=LIMIT), "approved", LIMIT, otb=0)
    matched = {"hold_reference": "ref-1", "match_rule": "network-reference"}
    over = say.presentment(amount=LIMIT + 20)
    with pytest.raises(Disagreement, match="open_to_buy: engine 0, auditor -20"):
        copy.deepcopy(told).update(over, "applied", balance=LIMIT + 20, held=0, otb=0, **matched)
    told.update(over, "applied", balance=LIMIT + 20, held=0, otb=-20, **matched)


def test_b5_three_equal_reversals_release_once(told: Told) -> None:
    hundred_on_hold(told)
    sent = say.reversal(transmitted_at=told.now + say.SECOND)
    reply = ReversalAcknowledgement(
        "reversal-acknowledgement", 1, "rev-1", "ref-1", ACCOUNT, "released", 100, LIMIT, told.now + say.SECOND
    )
    settled = [told.auditor.check(sent, reply) for _ in range(3)]
    assert settled == [None, "repeat", "repeat"]
    with pytest.raises(Disagreement, match="a repeat is answered with the first answer"):
        told.auditor.check(sent, replace(reply, outcome="nothing-to-release", released=0))


def test_b6_a_clearing_two_days_after_the_hold_ended_posts_once_and_releases_nothing(told: Told) -> None:
    told.decision(say.request(amount=80), "approved", 80, otb=LIMIT - 80)
    told.now += 10 * say.DAY
    with pytest.raises(Disagreement, match="outcome: engine 'applied', auditor 'posted-without-hold'"):
        copy.deepcopy(told).update(say.presentment(amount=80), "applied", balance=80, held=0, otb=LIMIT - 80)
    told.update(say.presentment(amount=80), "posted-without-hold", balance=80, held=0, otb=LIMIT - 80)
    assert told.auditor.books[ACCOUNT].journal[-2:] == [[("hold-expired", 80)], [("presentment-posted", 80)]]


def test_b8_two_refunds_of_60_give_back_100_and_the_rest_is_reviewed(told: Told) -> None:
    told.update(say.presentment(amount=100), "posted-without-hold", balance=100, held=0, otb=LIMIT - 100)
    told.update(say.refund(amount=60), "applied", balance=40, held=0, otb=LIMIT - 40)
    again = say.refund(amount=60, message_id="refund-2")
    with pytest.raises(Disagreement, match="engine 'applied', auditor 'partly-suspended'"):
        copy.deepcopy(told).update(again, "applied", balance=-20, held=0, otb=LIMIT + 20)
    told.update(again, "partly-suspended", balance=0, held=0, otb=LIMIT)
    assert told.auditor.books[ACCOUNT].journal[-1] == [("refund-posted", 40), ("refund-suspended", 20)]


def test_b11_charged_back_then_refunded_is_credited_once(told: Told) -> None:
    told.update(say.presentment(amount=1000), "posted-without-hold", balance=1000, held=0, otb=LIMIT - 1000)
    told.update(say.dispute(amount=1000), "applied", balance=0, held=0, otb=LIMIT)
    with pytest.raises(Disagreement, match="engine 'applied', auditor 'suspended'"):
        copy.deepcopy(told).update(say.refund(amount=1000), "applied", balance=-1000, held=0, otb=LIMIT + 1000)
    told.update(say.refund(amount=1000), "suspended", balance=0, held=0, otb=LIMIT)


def test_reversal_before_its_authorisation_leaves_no_hold(told: Told) -> None:
    told.reversed(say.reversal(), "remembered", 0, otb=LIMIT)
    with pytest.raises(Disagreement, match="engine 'approved', auditor 'declined'"):
        copy.deepcopy(told).decision(say.request(amount=100), "approved", 100, otb=LIMIT - 100)
    told.decision(say.request(amount=100), "declined", 0, otb=LIMIT, reason="reversed-before-arrival")
    assert told.auditor.books[ACCOUNT].holds == {}


def test_reversal_before_its_advice_turns_placed_into_noted(told: Told) -> None:
    told.reversed(say.reversal(), "remembered", 0, otb=LIMIT)
    told.advised(say.stand_in(amount=100), "noted", 0, otb=LIMIT)


def test_a_dispute_goes_to_its_end_and_no_further(told: Told) -> None:
    told.update(say.presentment(amount=100), "posted-without-hold", balance=100, held=0, otb=LIMIT - 100)
    balances = {"chargeback": 0, "representment": 100, "pre-arbitration": 0, "arbitration-lost": 100}
    for stage, balance in balances.items():
        step = say.dispute(stage, 100, message_id=stage)
        told.update(step, "applied", balance=balance, held=0, otb=LIMIT - balance)
    late = say.dispute("arbitration-won", 100, message_id="late")
    told.update(late, "illegal-dispute-stage", balance=100, held=0, otb=LIMIT - 100)


def test_a_fuel_completion_is_what_is_not_cleared_of_the_final_amount(told: Told) -> None:
    hundred_on_hold(told)
    matched = {"hold_reference": "ref-1", "match_rule": "network-reference"}
    told.update(say.presentment(amount=70, final=False), "applied", balance=70, held=30, otb=LIMIT - 100, **matched)
    told.advised(say.completion(amount=150), "adjusted", 80, otb=LIMIT - 150)
    told.advised(say.completion(amount=60, reference="adv-2"), "adjusted", 0, otb=LIMIT - 70)


def test_two_holds_that_could_be_meant_are_not_guessed_between(told: Told) -> None:
    for number in (1, 2):
        told.decision(say.request(f"ref-{number}", 100), "approved", 100, otb=LIMIT - 100 * number)
    lost = say.presentment("lost", 100, card_token=f"card-{ACCOUNT}")
    with pytest.raises(Disagreement, match="engine 'applied', auditor 'posted-ambiguous'"):
        copy.deepcopy(told).update(lost, "applied", balance=100, held=100, otb=LIMIT - 200, hold_reference="ref-1")
    told.update(lost, "posted-ambiguous", balance=100, held=200, otb=LIMIT - 300)


@pytest.mark.parametrize(("presented", "found"), [(79, False), (80, True), (125, True), (126, False)])
def test_the_bounds_of_the_amount_in_matching(told: Told, presented: int, found: bool) -> None:
    hundred_on_hold(told)
    lost = say.presentment("lost", presented, card_token=f"card-{ACCOUNT}")
    rest = {"hold_reference": "ref-1", "match_rule": "card-merchant-amount"} if found else {}
    held, outcome = (0, "applied") if found else (100, "posted-without-hold")
    told.update(lost, outcome, balance=presented, held=held, otb=LIMIT - presented - held, **rest)


def test_velocity_over_the_full_list_of_approvals(told: Told) -> None:
    rule = VelocityRule("two-a-minute", "trailing", 60, 2, None)
    told.update(say.controls(velocity=[rule]), "applied", balance=0, held=0, otb=LIMIT)
    for number in (1, 2):
        told.decision(say.request(f"ref-{number}", 1), "approved", 1, otb=LIMIT - number)
    refused = {"reason": "control", "control": "account:two-a-minute", "detail": "count"}
    with pytest.raises(Disagreement, match="detail"):
        copy.deepcopy(told).decision(
            say.request("ref-3", 1), "declined", 0, otb=LIMIT - 2, **refused | {"detail": "amount"}
        )
    told.decision(say.request("ref-3", 1), "declined", 0, otb=LIMIT - 2, **refused)
    told.now += 60 * say.SECOND
    told.decision(say.request("ref-4", 1), "approved", 1, otb=LIMIT - 3)


def test_the_score_is_believed_and_the_cut_is_not() -> None:
    told = Told(Auditor(fraud_cut=900_000, stand_in_limit=500))
    told.decision(say.request("ref-1", 1), "approved", 1, otb=LIMIT - 1, fraud_score=899_999)
    with pytest.raises(Disagreement):
        copy.deepcopy(told).decision(say.request("ref-2", 1), "approved", 1, otb=LIMIT - 2, fraud_score=900_000)
    fraud = {"reason": "suspected-fraud", "fraud_score": 900_000}
    told.decision(say.request("ref-2", 1), "declined", 0, otb=LIMIT - 1, **fraud)
    told.decision(say.request("ref-3", 500), "approved", 500, otb=LIMIT - 501, stand_in=True)
    unavailable = {"reason": "scoring-unavailable", "stand_in": True}
    told.decision(say.request("ref-4", 501), "declined", 0, otb=LIMIT - 501, **unavailable)


def test_a_repeat_after_its_answer_was_forgotten(told: Told) -> None:
    """Posted once: answered from the digests as a duplicate, not posted again, not answered as new."""
    told.update(say.payment(100), "applied", balance=-100, held=0, otb=LIMIT + 100)
    told.now += say.DAY
    for number in range(5):
        told.reversed(say.reversal(f"nothing-{number}", f"rev-{number}"), "remembered", 0, otb=LIMIT + 100)
    with pytest.raises(Disagreement, match="engine 'applied', auditor 'duplicate'"):
        copy.deepcopy(told).update(say.payment(100), "applied", balance=-200, held=0, otb=LIMIT + 200)
    assert told.update(say.payment(100), "duplicate", balance=-100, held=0, otb=LIMIT + 100) == "duplicate"


def test_entries_are_compared_one_by_one(told: Told) -> None:
    hundred_on_hold(told)
    told.reversed(say.reversal(), "released", 100, otb=LIMIT)
    told.auditor.check_entries(ACCOUNT, entries(("hold-placed", 100), ("hold-released", 100)))
    for wrong in (
        entries(("hold-placed", 100)),
        entries(("hold-placed", 100), ("hold-released", 99)),
        entries(("hold-released", 100), ("hold-placed", 100)),
        entries(("hold-placed", 100), ("hold-released", 100), ("presentment-posted", 1)),
        entries(("hold-placed", 100), ("hold-released", 100))[1:],
    ):
        with pytest.raises(Disagreement):
            told.auditor.check_entries(ACCOUNT, wrong)


def test_lives_of_holds() -> None:
    def days(mcc: int = 5411, mode: str = "chip", by: str = "cardholder", pre: bool = False, at: int = say.T0) -> int:
        return life(mcc, mode, by, pre, at, 7 * say.DAY) // say.DAY

    assert (days(), days(mode="ecommerce"), days(by="merchant"), days(mcc=7011), days(pre=True)) == (7, 10, 5, 30, 30)
    assert (days(mcc=7011, at=0), days(mode="ecommerce", at=0)) == (31, 7)


def test_a_local_day_is_not_a_day_in_utc() -> None:
    """D5: 2023-03-01T03:47:56Z is 28 February in New York."""
    now = 1_677_642_476_000
    assert str(period("day", now, "America/New_York")) == "2023-02-28"
    assert str(period("day", now, "Etc/UTC")) == "2023-03-01"


def entries(*movements: tuple[str, int]) -> list[JournalEntry]:
    made = []
    for sequence, (kind, amount) in enumerate(movements, 1):
        debit, credit = SIDES[kind]
        postings = [Posting(debit, amount), Posting(credit, -amount)]
        made.append(JournalEntry("journal-entry", 1, ACCOUNT, sequence, kind, "cause", "USD", say.T0, postings))
    return made
