"""The last section of docs/lifecycle.md: what an account remembers, and what it does when it has forgotten.

Every story is told to the real engine under the auditor's eyes; the assertions name what the page promises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scoring import Model, Scored
from models.authorization import Policy
from tests.property.audited import Audited
from tests.support import messages as say

MINUTE = 60 * say.SECOND


class Broken:
    """A fraud model that is out of order."""

    version = "broken"

    def score(self, matrix: npt.NDArray[np.float32]) -> list[Scored]:
        raise RuntimeError(f"out of order: {len(matrix)} requests wait")


class Told(Audited):
    """A story about one account that may owe much; times are those since its opening."""

    def __init__(self, model: Model | None = None, credit_limit: int = 10_000_000) -> None:
        super().__init__(Policy(), model)
        self.slice(say.opened(credit_limit=credit_limit))

    def tell(self, *messages: Any, after: int = say.SECOND) -> list[str]:
        """Decide in slices of a dozen; returns what was said: the reason of a decline, else the outcome."""
        for message in messages:
            message.transmitted_at = say.T0 + after
        replies = [reply for at in range(0, len(messages), 12) for reply in self.slice(*messages[at : at + 12])]
        return [getattr(reply, "reason", None) or reply.outcome for reply in replies]


def presentments(count: int) -> list[Any]:
    return [say.presentment(f"ref-{number}", 100, f"pres-{number}") for number in range(count)]


def fillers(count: int) -> list[Any]:
    """Answers that have nothing to do with anything."""
    return [say.reversal(f"nothing-{number}", f"rev-nothing-{number}") for number in range(count)]


def test_of_32_purchases_the_first_is_remembered() -> None:
    told = Told()
    told.tell(*presentments(32))
    assert told.tell(say.refund("ref-0", 100)) == ["applied"]


def test_of_33_purchases_the_first_is_forgotten() -> None:
    told = Told()
    told.tell(*presentments(33))
    assert told.tell(say.refund("ref-0", 100), say.dispute("chargeback", 100, "ref-0")) == [
        "posted-unlinked", "unknown-purchase",
    ]  # fmt: skip
    assert told.tell(say.refund("ref-1", 101, "refund-2")) == ["partly-suspended"]


def test_a_purchase_that_is_presented_again_is_the_last_one_again() -> None:
    told = Told()
    told.tell(*presentments(32))
    told.tell(say.presentment("ref-0", 50, "pres-again"), say.presentment("ref-other", 100, "pres-other"))
    assert told.tell(say.refund("ref-0", 150)) == ["applied"]


def test_16_early_reversals_are_remembered_and_not_17() -> None:
    told = Told()
    told.tell(*[say.reversal(f"ref-{number}", f"rev-{number}") for number in range(17)])
    said = told.tell(*[say.request(f"ref-{number}", 100) for number in (0, 1, 16)])
    assert said == ["approved", "reversed-before-arrival", "reversed-before-arrival"]


def test_an_early_reversal_is_remembered_for_a_day() -> None:
    told = Told()
    told.tell(say.reversal("ref-1", "rev-1"), say.reversal("ref-2", "rev-2"))
    assert told.tell(say.request("ref-1", 100), after=say.DAY) == ["reversed-before-arrival"]
    assert told.tell(say.request("ref-2", 100), after=say.DAY + 2 * say.SECOND) == ["approved"]


def test_a_refused_request_that_comes_once_more_is_refused_once_more() -> None:
    """The refusal's answer is forgotten after 15 minutes, the reversal that caused it is not."""
    told = Told()
    told.tell(say.reversal("ref-1", "rev-1"), say.request("ref-1", 100))
    told.tell(*fillers(5), after=20 * MINUTE)
    assert told.tell(say.request("ref-1", 100), after=21 * MINUTE) == ["reversed-before-arrival"]


def test_four_answers_are_kept_whatever_their_age() -> None:
    told = Told()
    first = told.slice(say.request("ref-1", 100))
    told.tell(*fillers(3), after=say.DAY)
    again = say.request("ref-1", 100, transmitted_at=say.T0 + 2 * say.DAY)
    assert told.slice(again) == first


def test_a_forgotten_request_with_an_open_hold_is_a_stale_duplicate() -> None:
    told = Told()
    told.tell(say.request("ref-1", 100))
    told.tell(*fillers(5), after=20 * MINUTE)
    assert told.tell(say.request("ref-1", 100), after=21 * MINUTE) == ["stale-duplicate"]


def test_a_hold_that_has_ended_makes_no_stale_duplicate_swept_or_not() -> None:
    """Rule 3, expiry on read: a sweep changes no decision."""
    for sweeps in (False, True):
        told = Told()
        told.tell(say.request("ref-1", 100))
        told.tell(*fillers(5), after=20 * MINUTE)
        if sweeps:
            told.sweep(say.tick(say.T0 + 8 * say.DAY))
        assert told.tell(say.request("ref-1", 100), after=8 * say.DAY) == ["approved"]


def test_answers_are_kept_for_15_minutes_and_at_most_128() -> None:
    told = Told()
    first = told.slice(say.request("ref-1", 100, transmitted_at=say.T0 + say.SECOND))
    told.tell(*fillers(127))
    again = say.request("ref-1", 100, transmitted_at=say.T0 + 2 * say.SECOND)
    assert told.slice(again) == first
    told.tell(say.reversal("nothing", "one-more"))
    assert told.tell(say.request("ref-1", 100)) == ["stale-duplicate"]


def test_ids_of_128_updates_are_kept_after_their_answers() -> None:
    told = Told()
    payments = [say.payment(100, f"pay-{number}") for number in range(128)]
    told.tell(*payments)
    told.tell(*fillers(5), after=say.DAY)
    assert told.tell(payments[0], after=say.DAY) == ["duplicate"]
    assert told.tell(say.payment(100, "one-more"), after=say.DAY) == ["applied"]
    assert told.tell(payments[0], after=say.DAY) == ["applied"]  # the bound is a choice: it posts again


def test_an_id_that_another_message_has_is_a_conflict() -> None:
    told = Told()
    told.tell(say.card_status("active", "one-id"))
    assert told.tell(say.payment(100, "one-id")) == ["conflicting-duplicate"]


def test_an_id_that_another_type_had_long_ago_loses_no_payment() -> None:
    """Senders number their messages by themselves; money must be posted, or parked for a person's eye."""
    told = Told()
    told.tell(say.card_status("active", "one-id"))
    told.tell(*fillers(5), after=20 * MINUTE)
    assert told.tell(say.payment(100, "one-id"), after=21 * MINUTE)[0] in {"applied", "conflicting-duplicate"}


def test_a_purchase_goes_by_its_own_reference_first() -> None:
    """One purchase used up part of the hold of ref-1 under another reference, the other was presented as ref-1."""
    told = Told()
    told.tell(say.request("ref-1", 1000, rrn="rrn1"))
    told.tell(say.presentment("other", 40, "pres-1", final=False, rrn="rrn1", approval_code=told.codes["ref-1"]))
    told.tell(say.presentment("ref-1", 80, "pres-2", final=False))
    assert told.tell(say.refund("ref-1", 80)) == ["applied"]


def test_the_stand_in_rule_bounds_what_is_approved_in_part() -> None:
    told = Told(model=Broken(), credit_limit=300)
    assert told.tell(say.request("ref-1", 30_000, partial_approval=True)) == ["partially-approved"]
    told.tell(say.limit(100_000))
    assert told.tell(say.request("ref-2", 30_000, partial_approval=True)) == ["scoring-unavailable"]


def test_200_holds_may_be_open_and_no_request_opens_one_more() -> None:
    told = Told()
    told.tell(*[say.request(f"ref-{number}", 1) for number in range(200)])
    refused = say.request("one-more", 1), say.request("refund", 100, kind="refund")
    checked = say.request("check", 0, kind="account-verification")
    assert told.tell(*refused, checked) == ["too-many-open-holds", "approved", "approved"]


def test_a_hold_of_the_networks_that_finds_200_others_is_noted_and_parked() -> None:
    told = Told()
    told.tell(*[say.request(f"ref-{number}", 1) for number in range(200)])
    assert told.tell(say.stand_in("one-more", 100)) == ["noted"]
    assert [letter["reason"] for letter in told.at_once.on("dead-letters")] == ["too-many-open-holds"]


def test_of_200_holds_those_that_have_ended_do_not_count_swept_or_not() -> None:
    for sweeps in (False, True):
        told = Told()
        told.tell(*[say.request(f"ref-{number}", 1) for number in range(200)])
        if sweeps:
            told.sweep(say.tick(say.T0 + 8 * say.DAY))
        assert told.tell(say.request("one-more", 1), after=8 * say.DAY) == ["approved"]


def test_a_sweep_is_seen_by_the_account() -> None:
    """Rule 2: what comes late after a sweep is decided at the sweep's time, so that it finds what the sweep left."""
    told = Told()
    told.tell(say.request("ref-1", 100))
    told.sweep(say.tick(say.T0 + 8 * say.DAY))
    [decision] = told.slice(say.request("ref-2", 100, transmitted_at=say.T0 + 6 * say.DAY))
    assert decision.decided_at == say.T0 + 8 * say.DAY
