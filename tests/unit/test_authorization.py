"""The authorisation decision and the reversal; case ids are those of the public fault reports we test against."""

from __future__ import annotations

import pytest

from models.authorization import Policy
from models.outcomes import DeclineReason
from tests.support import messages as say
from tests.support.engine import Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.run(say.opened(credit_limit=500_000))
    return bench


def test_an_approval_says_what_is_left(bench: Bench) -> None:
    [decision, entry] = bench.run(say.request(amount=1234))
    assert decision == {
        "type": "authorization-decision", "version": 1, "network_reference": "ref-1", "account_id": "acct-1",
        "outcome": "approved", "reason": None, "amount": 1234, "currency": "USD",
        "approval_code": decision["approval_code"], "open_to_buy": 498_766, "fraud_score": None, "fraud_reasons": [],
        "model_version": None, "decided_at": say.T0 + say.SECOND, "approved_amount": 1234, "control": None,
        "stand_in": False, "avs_result": None, "cvv_result": None, "detail": None,
    }  # fmt: skip
    assert len(decision["approval_code"]) == 6
    assert entry["postings"] == [
        {"ledger_account": "open-holds", "amount": 1234},
        {"ledger_account": "hold-commitments", "amount": -1234},
    ]


def test_equal_purchases_have_approval_codes_of_their_own(bench: Bench) -> None:
    bench.one_by_one(say.request("ref-1"), say.request("ref-2"))
    codes = [decision["approval_code"] for decision in bench.on("authorization-decisions")]
    assert len(set(codes)) == 2


@pytest.mark.parametrize(
    ("reason", "request_"),
    [
        (DeclineReason.UNKNOWN_ACCOUNT, say.request(account="nobody")),
        (DeclineReason.UNKNOWN_CARD, say.request(card_token="card-other")),
        (DeclineReason.CARD_EXPIRY_MISMATCH, say.request(card_expiry=203011)),
        (DeclineReason.EXPIRED_CARD, say.request(transmitted_at=1_924_992_000_000)),  # 2031-01-01
        (DeclineReason.CURRENCY_MISMATCH, say.request(currency="EUR")),
        (DeclineReason.INSUFFICIENT_OPEN_TO_BUY, say.request(amount=500_001)),
    ],
)
def test_every_decline_is_named_and_books_nothing(bench: Bench, reason: str, request_: object) -> None:
    [decision] = bench.run(request_)  # type: ignore[arg-type]
    assert (decision["outcome"], decision["reason"]) == ("declined", reason)
    assert decision["approval_code"] is None
    assert not bench.on("journal-entries")


def test_a_card_is_good_to_the_last_moment_of_its_month(bench: Bench) -> None:
    last, first_after = 1_924_991_999_999, 1_924_992_000_000  # around 2031-01-01T00:00:00Z
    decisions = bench.one_by_one(
        say.request("ref-1", transmitted_at=last), say.request("ref-2", transmitted_at=first_after)
    )
    assert [d["reason"] for d in decisions if "reason" in d] == [None, DeclineReason.EXPIRED_CARD]


class TestFraud:
    class Model:
        version = "fraud-test"

        def __init__(self, ppm: int) -> None:
            self.ppm = ppm
            self.runs: list[int] = []

        def score(self, matrix):  # type: ignore[no-untyped-def]
            self.runs.append(len(matrix))
            return [type("Scored", (), {"ppm": self.ppm, "reasons": ["amount"]})() for _row in matrix]

    @pytest.mark.parametrize(
        ("ppm", "outcome"), [(899_999, "approved"), (900_000, "declined"), (1_000_000, "declined")]
    )
    def test_the_cut_itself_declines(self, ppm: int, outcome: str) -> None:
        bench = Bench(model=self.Model(ppm))
        bench.run(say.opened())
        decision = bench.run(say.request())[0]
        assert decision["outcome"] == outcome
        assert (decision["fraud_score"], decision["fraud_reasons"]) == (ppm, ["amount"])
        assert decision["model_version"] == "fraud-test"

    def test_a_slice_is_scored_in_one_run_and_an_account_s_second_message_sees_its_first(self) -> None:
        model = self.Model(0)
        bench = Bench(model=model)
        bench.run(say.opened("acct-1"), say.opened("acct-2"), say.opened("acct-3"))
        bench.run(
            say.request("ref-1", 400_000, "acct-1"), say.request("ref-2", 1, "acct-2"),
            say.request("ref-3", 1, "acct-3"), say.request("ref-4", 400_000, "acct-1"),
        )  # fmt: skip
        assert model.runs == [3, 1]
        assert [d["reason"] for d in bench.on("authorization-decisions")] == [
            None,
            None,
            None,
            "insufficient-open-to-buy",
        ]

    def test_only_requests_that_may_still_be_approved_are_scored(self) -> None:
        model = self.Model(0)
        bench = Bench(model=model)
        bench.run(say.opened())
        bench.run(say.request(card_token="card-other"))
        bench.run(say.request("ref-2"))
        bench.run(say.request("ref-2"))
        assert model.runs == [1]


def test_a1_a2_a_retry_gets_the_same_decision_and_one_hold(bench: Bench) -> None:
    first = bench.run(say.request(transmitted_at=say.T0))[0]
    [again] = bench.run(say.request(transmitted_at=say.T0 + 2 * say.SECOND))
    assert again == first
    assert list(bench.account().holds) == ["ref-1"]
    assert len(bench.on("journal-entries")) == 1


def test_a3_other_content_under_the_same_reference_is_a_conflict_and_the_hold_stays(bench: Bench) -> None:
    first = bench.run(say.request(amount=5000))[0]
    [conflict] = bench.run(say.request(amount=7000))
    assert (conflict["outcome"], conflict["reason"]) == ("declined", "conflicting-duplicate")
    assert bench.account().holds["ref-1"].amount == 5000
    assert bench.run(say.request(amount=5000, transmitted_at=say.T0 + 9 * say.SECOND)) == [first]


def test_a4_the_same_request_twice_in_one_slice_is_one_hold(bench: Bench) -> None:
    sent = bench.run(say.request(), say.request(transmitted_at=say.T0 + 2 * say.SECOND))
    decisions = [record for record in sent if record["type"] == "authorization-decision"]
    assert decisions[0] == decisions[1]
    assert bench.account().open_holds() == 1000


def test_a6_holds_count(bench: Bench) -> None:
    decisions = bench.one_by_one(*[say.request(f"ref-{n}", 100_000) for n in range(6)])
    outcomes = [d["outcome"] for d in decisions if d["type"] == "authorization-decision"]
    assert outcomes == ["approved"] * 5 + ["declined"]


def test_a9_an_ended_hold_stops_counting_before_any_sweep() -> None:
    bench = Bench(policy=Policy(hold_ms=5 * say.SECOND))
    bench.run(say.opened(credit_limit=1000))
    bench.run(say.request("ref-1", 1000, transmitted_at=say.T0))
    assert bench.account().open_to_buy(say.T0 + 10 * say.SECOND) == 1000
    [decision, *entries] = bench.run(say.request("ref-2", 1000, transmitted_at=say.T0 + 10 * say.SECOND))
    assert decision["outcome"] == "approved"
    assert [entry["entry_type"] for entry in entries] == ["hold-expired", "hold-placed"]


def test_a_hold_counts_until_the_moment_it_ends() -> None:
    bench = Bench(policy=Policy(hold_ms=5 * say.SECOND))
    bench.run(say.opened(credit_limit=1000))
    bench.run(say.request("ref-1", 1000, transmitted_at=say.T0))
    decisions = bench.one_by_one(
        say.request("ref-2", 1000, transmitted_at=say.T0 + 5 * say.SECOND - 1),
        say.request("ref-3", 1000, transmitted_at=say.T0 + 5 * say.SECOND),
    )
    assert [d["outcome"] for d in decisions if "outcome" in d] == ["declined", "approved"]


def test_the_200_holds_of_a_row_are_its_bound(bench: Bench) -> None:
    bench.one_by_one(*[say.request(f"ref-{n}", 1) for n in range(200)])
    [decision] = bench.run(say.request("one-more", 1))
    assert decision["reason"] == "too-many-open-holds"


def test_a_forgotten_answer_with_an_open_hold_is_no_new_request(bench: Bench) -> None:
    bench.run(say.request("ref-0"))
    later = say.T0 + 3_600_000
    bench.one_by_one(*[say.request(f"ref-{n}", transmitted_at=later) for n in range(1, 9)])
    [decision] = bench.run(say.request("ref-0", transmitted_at=later))
    assert decision["reason"] == "stale-duplicate"
    assert bench.account().open_holds() == 9000


class TestReversal:
    def test_b5_the_same_reversal_three_times_releases_once_and_is_acknowledged_alike(self, bench: Bench) -> None:
        bench.run(say.request())
        acknowledgements = [bench.run(say.reversal())[0] for _ in range(3)]
        assert acknowledgements[0]["released"] == 1000
        assert acknowledgements[0] == acknowledgements[1] == acknowledgements[2]
        assert bench.account().open_holds() == 0
        assert [e["entry_type"] for e in bench.on("journal-entries")] == ["hold-placed", "hold-released"]

    def test_that_overtakes_its_authorisation_keeps_it_out(self, bench: Bench) -> None:
        [acknowledgement] = bench.run(say.reversal("ref-late"))
        assert (acknowledgement["outcome"], acknowledgement["released"]) == ("remembered", 0)
        [decision] = bench.run(say.request("ref-late"))
        assert (decision["outcome"], decision["reason"]) == ("declined", "reversed-before-arrival")
        assert bench.account().holds == {}

    def test_of_an_unknown_account(self, bench: Bench) -> None:
        acknowledgement, letter = bench.run(say.reversal(account="nobody"))
        assert (acknowledgement["outcome"], letter["reason"]) == ("unknown-account", "unknown-account")

    def test_of_another_authorisation_under_a_known_id_is_a_conflict(self, bench: Bench) -> None:
        bench.one_by_one(say.request("ref-1"), say.request("ref-2"), say.reversal("ref-1", "rev-1"))
        acknowledgement, letter = bench.run(say.reversal("ref-2", "rev-1"))
        assert (acknowledgement["outcome"], letter["reason"]) == ("conflicting-duplicate", "conflicting-duplicate")
        assert list(bench.account().holds) == ["ref-2"]
