"""Every kind of message, in any order, with repeats, conflicts, late and early ones, against the real engine.

What must hold after every slice stands at the top of tests/property/audited.py: the auditor agrees with every reply and
entry, open-to-buy and holds add up, entries balance and have no gaps, no purchase gives back more than it took, early
reversals leave no hold, repeats change nothing, one slice or many is the same. A failure prints the story.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from models.authorization import Policy
from tests.property import stories
from tests.property.audited import Audited
from tests.property.stories import ACCOUNT, Teller
from tests.support import messages as say

MOST_IN_A_SLICE = 12
POLICY = Policy(fraud_cut_ppm=900_000, stand_in_limit=500, shed_after_ms=1500)


@dataclass
class Opinion:
    ppm: int
    reasons: list[str]


@dataclass
class Whim:
    """A fraud model with an opinion about every row of features, the same each time; it may be out of order."""

    version: str = "whim"
    broken: bool = False

    def score(self, matrix: npt.NDArray[np.float32]) -> list[Opinion]:
        if self.broken:
            raise RuntimeError("the model is out of order")
        return [Opinion(zlib.crc32(row.tobytes()) % 1_000_000, ["amount"]) for row in matrix]


class Lifecycle(RuleBasedStateMachine):
    """Rules say one message each; `settle` hands what was said to the engines as one slice."""

    def __init__(self) -> None:
        super().__init__()
        self.teller = Teller()
        self.model = Whim()
        self.audited = Audited(POLICY, self.model)
        self.unsettled: list[Any] = []
        self.expiry = 0  # of the card, YYYYMM

    # -- what may be said

    @initialize(
        limit=st.sampled_from([300, 50_000, 50_000]),
        zone=st.sampled_from(["Etc/UTC", "America/New_York"]),
        expiry=st.sampled_from([203012, 203012, 202609]),  # the month in which every story begins
    )
    def open_account(self, limit: int, zone: str, expiry: int) -> None:
        self.expiry = expiry
        self.say(say.opened, ACCOUNT, credit_limit=limit, time_zone=zone, card_expiry=expiry)

    @rule(wait=stories.WAITS)
    def time_passes(self, wait: int) -> None:
        self.teller.now += wait

    @rule(
        amount=stories.AMOUNTS,
        partial=st.booleans(),
        pre=st.booleans(),
        merchant=stories.MERCHANTS,
        rrn=stories.RRNS,
        mode=stories.MODES,
        mcc=stories.MCCS,
        kind=st.sampled_from(["purchase", "purchase", "cash-advance", "quasi-cash"]),
        accident=stories.ACCIDENTS,
        late=stories.LATE,
    )
    def request(self, amount: int, accident: str, late: int, **chosen: Any) -> None:
        reference = self.teller.next_reference()
        self.teller.rrns[reference] = chosen["rrn"]
        changes = {
            "partial_approval": chosen["partial"],
            "pre_authorization": chosen["pre"],
            "merchant_id": chosen["merchant"],
            "rrn": chosen["rrn"],
            "entry_mode": chosen["mode"],
            "mcc": chosen["mcc"],
            "kind": chosen["kind"],
            "card_expiry": self.expiry,
        }
        self.say(say.request, reference, amount, accident=accident, late=late, **changes)

    @rule(
        kind=st.sampled_from(["account-verification", "refund", "purchase"]),
        amount=st.sampled_from([0, 0, 100]),
        expiry=st.sampled_from([203012, 203012, 203011]),
        accident=stories.ACCIDENTS,
    )
    def other_request(self, kind: str, amount: int, expiry: int, accident: str) -> None:
        changes = {"kind": kind, "card_expiry": expiry, "avs_result": "Y", "cvv_result": "M"}
        self.say(say.request, self.teller.next_reference(), amount, accident=accident, **changes)

    @rule(
        back=stories.BACK,
        amount=stories.AMOUNTS,
        amount_is=st.sampled_from(["total", "delta"]),
        accident=stories.ACCIDENTS,
        late=stories.LATE,
    )
    def increment(self, back: int, amount: int, amount_is: str, accident: str, late: int) -> None:
        reference = f"inc-{self.teller.number}"
        original = self.teller.reference(back)
        self.say(say.increment, original, amount, reference, amount_is=amount_is, accident=accident, late=late)

    @rule(
        back=stories.BACK,
        amount=st.sampled_from([0, 40, 80, 100, 120, 30_000]),
        approved=st.sampled_from([True, True, False]),
        rrn=stories.RRNS,
        accident=stories.ACCIDENTS,
        late=stories.LATE,
        names_original=st.sampled_from([True, True, True, False]),
    )
    def completion(self, back: int, amount: int, names_original: bool, **chosen: Any) -> None:
        original = self.teller.reference(back) if names_original else None
        self.say(say.completion, original, amount, f"adv-{self.teller.number}", **chosen)

    @rule(
        back=stories.BACK,
        amount=st.sampled_from([0, 40, 80, 100, 120, 30_000]),
        approved=st.sampled_from([True, True, False]),
        rrn=stories.RRNS,
        accident=stories.ACCIDENTS,
        late=stories.LATE,
        original_reference=st.sampled_from([None, None, "ref-1"]),  # has no meaning here
    )
    def stand_in(self, back: int, amount: int, **chosen: Any) -> None:
        self.say(say.stand_in, self.teller.reference(back), amount, **chosen)

    @rule(
        back=stories.BACK,
        amount=st.sampled_from([None, None, 40, 100]),
        accident=stories.ACCIDENTS,
        late=stories.LATE,
    )
    def reversal(self, back: int, amount: int | None, accident: str, late: int) -> None:
        reference, message_id = self.teller.reference(back), self.teller.message_id()
        self.say(say.reversal, reference, message_id, amount=amount, accident=accident, late=late)

    @rule(
        back=stories.BACK,
        amount=stories.AMOUNTS,
        final=st.booleans(),
        kind=st.sampled_from(["purchase", "purchase", "cash-advance"]),
        accident=stories.ACCIDENTS,
        late=stories.LATE,
        same_slice=stories.SAME_SLICE,
    )
    def presentment(self, back: int, amount: int, same_slice: bool, **chosen: Any) -> None:
        """In the slice of its request it would be decided first: clearings come before authorisations."""
        if not same_slice:
            self.settle()
        self.present(self.teller.reference(back), amount, **chosen)

    @rule(
        amount=st.sampled_from([100, 100, 1000]),
        presented=st.lists(st.sampled_from([40, 80, 100, 120]), min_size=1, max_size=3),
        merchant=stories.MERCHANTS,
    )
    def buy(self, amount: int, presented: list[int], merchant: str) -> None:
        """A purchase as it should be: requested, then presented, in parts if there are several."""
        reference = self.teller.next_reference()
        self.say(say.request, reference, amount, merchant_id=merchant, card_expiry=self.expiry)
        self.settle()
        for number, part in enumerate(presented, 1):
            self.present(reference, part, final=number == len(presented), merchant_id=merchant)

    @rule(
        back=stories.BACK,
        amount=stories.AMOUNTS,
        final=st.booleans(),
        merchant=stories.MERCHANTS,
        knows_codes=st.booleans(),
        knows_card=st.booleans(),
    )
    def presentment_without_reference(self, back: int, amount: int, final: bool, **chosen: Any) -> None:
        """The terminal lost the network's reference; it may know the codes, or card and merchant."""
        self.settle()
        original = self.teller.reference(back)
        changes: dict[str, Any] = {"merchant_id": chosen["merchant"], "final": final}
        if chosen["knows_codes"]:
            changes |= {"rrn": self.teller.rrns.get(original), "approval_code": self.audited.codes.get(original)}
        if chosen["knows_card"]:
            changes |= {"card_token": f"card-{ACCOUNT}"}
        self.present(f"lost-{self.teller.number}", amount, **changes)

    def present(self, reference: str, amount: int, **changes: Any) -> None:
        self.teller.presented.append(reference)
        self.say(say.presentment, reference, amount, self.teller.message_id(), **changes)

    @rule(back=stories.BACK, amount=stories.AMOUNTS, linked=st.sampled_from([True, True, True, False]))
    def refund(self, back: int, amount: int, linked: bool) -> None:
        original = self.teller.purchase(back) if linked else None
        self.say(say.refund, original, amount, self.teller.message_id())

    @rule(
        back=stories.BACK,
        amounts=st.lists(st.sampled_from([40, 80, 100]), min_size=1, max_size=4),
        lost=st.booleans(),
        accident=stories.ACCIDENTS,
    )
    def dispute(self, back: int, amounts: list[int], lost: bool, accident: str) -> None:
        """Some steps of a chain, from its beginning: each is legal only after the one before it."""
        end = "arbitration-lost" if lost else "arbitration-won"
        for stage, amount in zip(["chargeback", "representment", "pre-arbitration", end], amounts, strict=False):
            purchase = self.teller.purchase(back)
            self.say(say.dispute, stage, amount, purchase, self.teller.message_id(), accident=accident)

    @rule(amount=stories.AMOUNTS, accident=stories.ACCIDENTS)
    def payment(self, amount: int, accident: str) -> None:
        self.say(say.payment, amount, self.teller.message_id(), accident=accident)

    @rule(credit_limit=st.sampled_from([90, *[50_000] * 4]), accident=stories.ACCIDENTS)
    def limit(self, credit_limit: int, accident: str) -> None:
        self.say(say.limit, credit_limit, self.teller.message_id(), accident=accident)

    @rule(
        status=st.sampled_from([*["active"] * 9, "frozen", "frozen", "delinquent-blocked", "closed", "bankrupt"]),
        accident=stories.ACCIDENTS,
    )
    def account_status(self, status: str, accident: str) -> None:
        self.say(say.account_status, status, self.teller.message_id(), accident=accident)

    @rule(status=st.sampled_from([*["active"] * 7, "frozen", "frozen", "lost"]), accident=stories.ACCIDENTS)
    def card_status(self, status: str, accident: str) -> None:
        self.say(say.card_status, status, self.teller.message_id(), accident=accident)

    @rule(
        card=st.sampled_from([None, f"card-{ACCOUNT}"]),
        velocity=st.lists(st.one_of(stories.TRAILING, stories.CALENDAR), max_size=2, unique_by=lambda each: each.name),
        lists=st.lists(stories.LISTS, max_size=1),
        toggles=stories.TOGGLES,
        accident=stories.ACCIDENTS,
    )
    def controls(self, card: str | None, accident: str, toggles: dict[str, bool], **rules: Any) -> None:
        message_id = self.teller.message_id()
        self.say(say.controls, message_id, card_token=card, accident=accident, **rules, **toggles)

    @rule()
    def open_again(self) -> None:
        self.say(say.opened, ACCOUNT, message_id=self.teller.message_id())

    @rule(back=st.integers(0, 9), different=st.sampled_from([False, False, True]))
    def repeat(self, back: int, different: bool) -> None:
        self.add(self.teller.repeat(back, different))

    @rule(back=stories.BACK, amount=stories.AMOUNTS)
    def increment_under_the_reference_of_a_request(self, back: int, amount: int) -> None:
        self.say(say.increment, self.teller.reference(0), amount, self.teller.reference(back))

    @rule(broken=st.booleans())
    def model_breaks(self, broken: bool) -> None:
        self.settle()
        self.model.broken = broken

    @rule()
    def sweep(self) -> None:
        self.settle()
        self.audited.sweep(say.tick(self.teller.now))

    @rule()
    def settle(self) -> None:
        """What was said since the last time becomes one slice."""
        self._settle(0)

    @rule(waited_ms=st.sampled_from([1500, 1501, 90_000]))
    def settle_late(self, waited_ms: int) -> None:
        self._settle(waited_ms)

    def _settle(self, waited_ms: int) -> None:
        messages, self.unsettled = self.unsettled, []
        if messages:
            self.audited.slice(*messages, waited_ms=waited_ms)

    def say(self, make: Any, *parts: Any, **changes: Any) -> None:
        self.add(self.teller.tell(make, *parts, **changes))

    def add(self, message: Any) -> None:
        self.unsettled.append(message)
        if len(self.unsettled) >= MOST_IN_A_SLICE:
            self.settle()

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            note("\n".join(["the story:", *self.audited.log]))


@pytest.mark.timeout(600)  # a failure is made small, which takes minutes
class TestLifecycle(Lifecycle.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=100, stateful_step_count=40)
