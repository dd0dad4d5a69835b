"""The engine over slices: dead letters, order, poison."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from models import authorization
from models.authorization import Policy
from models.scoring.onnx import Score
from tests.support import messages as say
from tests.support.engine import Bench
from topics import codec


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.run(say.opened())
    return bench


def test_f5_a_bad_amount_is_dead_lettered_whole_and_the_next_record_is_decided(bench: Bench) -> None:
    bad = codec.encode(say.request("ref-bad")).replace(b":1000,", b':"a string",')
    bench.run(("authorizations", b"acct-1", bad), say.request("ref-good"))
    [letter] = bench.on("dead-letters")
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("authorizations", 0, 2)
    assert (letter["reason"], letter["field"]) == ("invalid-field", "amount")
    assert base64.b64decode(letter["value_base64"]) == bad
    assert base64.b64decode(letter["key_base64"]) == b"acct-1"
    refused, approved = bench.on("authorization-decisions")
    assert (refused["network_reference"], refused["outcome"], refused["reason"]) == ("ref-bad", "declined", "malformed")
    assert (approved["network_reference"], approved["outcome"]) == ("ref-good", "approved")


def test_replies_are_in_the_order_of_the_requests_also_of_those_that_are_refused(bench: Bench) -> None:
    """Whoever reads requests and decisions side by side pairs them by their order."""
    unreadable = codec.encode(say.request("ref-2")).replace(b":1000,", b':"a string",')
    early = say.request("ref-4", transmitted_at=say.T0 + 10 * say.DAY)
    bench.run(
        say.request("ref-1"), ("authorizations", b"acct-1", unreadable), say.request("ref-3"), early,
        say.request("ref-5"), at=say.T0,
    )  # fmt: skip
    assert [(d["network_reference"], d["reason"]) for d in bench.on("authorization-decisions")] == [
        ("ref-1", None), ("ref-2", "malformed"), ("ref-3", None), ("ref-4", "malformed"), ("ref-5", None),
    ]  # fmt: skip
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["invalid-field", "from-the-future"]


def test_a_tick_that_cannot_be_read_is_dead_lettered_once_and_the_next_one_sweeps(bench: Bench) -> None:
    bench.run(say.request())
    bench.run(("clock", b"0", b"no tick"), say.tick(say.T0 + 60 * say.DAY))
    assert [letter["topic"] for letter in bench.on("dead-letters")] == ["clock"]
    assert bench.on("journal-entries")[-1]["entry_type"] == "hold-expired"


@pytest.mark.parametrize(
    "value", [None, b"", b"\x00\x01", b'{"type":"authorization-request"}', b"\xff" * 70_000, rb'{"type":"\ud800"}']
)
@pytest.mark.parametrize("topic", ["authorizations", "clearings", "payments", "account-events", "clock"])
def test_f6_i12_whatever_stands_in_a_record_the_slice_goes_on(bench: Bench, topic: str, value: bytes | None) -> None:
    bench.run((topic, b"acct-1", value), say.request())
    [letter] = bench.on("dead-letters")
    assert letter["value_base64"] == (None if value is None else base64.b64encode(value).decode())
    [decision] = bench.on("authorization-decisions")
    assert decision["outcome"] == "approved"


class Counting:
    """A model that says how many requests it was asked about."""

    version = "counting"

    def __init__(self) -> None:
        self.asked = 0

    def score(self, matrix: Any) -> list[Score]:
        self.asked += len(matrix)
        return [Score(0, [])] * len(matrix)


def test_the_model_is_not_asked_about_what_has_waited_too_long() -> None:
    model = Counting()
    bench = Bench(model, Policy(shed_after_ms=1500))
    bench.run(say.opened())
    early, late = say.request("ref-1", transmitted_at=say.T0), say.request("ref-2", transmitted_at=say.T0 + 10)
    decided = bench.commit(bench.decide([early, late], waited_ms=1491))
    assert [(d["network_reference"], d["reason"], d["detail"]) for d in decided if "reason" in d] == [
        ("ref-1", "timed-out", "1501"), ("ref-2", None, None),
    ]  # fmt: skip
    assert model.asked == 1


def test_f12_a_record_too_large_to_be_a_message_is_kept_and_the_next_one_flows(bench: Bench) -> None:
    bench.run(("payments", b"acct-1", b"x" * 900_000), say.payment())
    [letter] = bench.on("dead-letters")
    assert letter["reason"] == "too-large"
    assert len(base64.b64decode(letter["value_base64"])) == 900_000
    assert bench.on("account-updates")[-1]["outcome"] == "applied"


def test_i9_the_merchant_s_name_decides_nothing(bench: Bench) -> None:
    plain = bench.run(say.request("ref-1", merchant_name="Coffee"))[0]
    fancy = bench.run(say.request("ref-2", merchant_name="☕ Kaffee™ 😀"))[0]
    ignored = {"network_reference", "approval_code", "open_to_buy"}
    assert {k: v for k, v in plain.items() if k not in ignored} == {k: v for k, v in fancy.items() if k not in ignored}


def test_f15_a_message_from_the_future_is_dead_lettered_and_leaves_the_account_alone(bench: Bench) -> None:
    before = bench.account()
    bench.run(say.request(transmitted_at=say.T0 + 2 * say.DAY), at=say.T0)
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["from-the-future"]
    assert bench.account() == before


def test_money_that_moved_comes_before_money_that_is_asked_for(bench: Bench) -> None:
    bench.run(say.request("ref-0", 500_000))
    bench.run(say.request("ref-1", 10_000), say.payment(10_000, transmitted_at=say.T0))
    assert bench.on("authorization-decisions")[-1]["outcome"] == "approved"


def test_an_account_opened_in_the_same_slice_can_be_used() -> None:
    bench = Bench()
    bench.run(say.request("ref-1", account="new"), say.opened("new"))
    assert bench.on("authorization-decisions")[0]["outcome"] == "approved"


def test_a_record_that_makes_the_domain_raise_is_left_out_and_everyone_else_decided(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(say.opened("acct-2"))
    decide = authorization.decide

    def buggy(screened, score, policy):  # type: ignore[no-untyped-def]
        if screened.request.network_reference == "ref-poison":
            screened.account.holds.clear()  # half-done damage that must not survive
            raise ZeroDivisionError("a bug")
        return decide(screened, score, policy)

    monkeypatch.setattr(authorization, "decide", buggy)
    bench.run(
        say.request("ref-1"), say.request("ref-poison"), say.request("ref-2"), say.request("ref-3", account="acct-2")
    )
    assert [d["network_reference"] for d in bench.on("authorization-decisions")] == [
        "ref-1",
        "ref-poison",
        "ref-2",
        "ref-3",
    ]
    assert [d["outcome"] for d in bench.on("authorization-decisions")] == [
        "approved",
        "declined",
        "approved",
        "approved",
    ]
    [letter] = bench.on("dead-letters")
    assert (letter["reason"], letter["detail"]) == ("processing-error", "ZeroDivisionError('a bug')")
    declined = bench.on("authorization-decisions")[1]
    assert (declined["reason"], declined["amount"], declined["currency"]) == ("system-malfunction", 1000, "USD")
    assert list(bench.account().holds) == ["ref-1", "ref-2"]


def test_rows_are_written_once_however_often_a_slice_changes_them(bench: Bench) -> None:
    decided = bench.decide([say.request(f"ref-{n}") for n in range(5)])
    assert [key for key, _row in decided.rows[0]] == [b"acct-1"]


def test_a_replay_writes_no_row(bench: Bench) -> None:
    bench.run(say.request())
    assert not bench.decide([say.request()]).rows


def test_a_typical_row_stays_small() -> None:
    bench = Bench()
    bench.run(say.opened())
    for n in range(200):
        at = say.T0 + n * 8 * 3_600_000
        bench.run(
            say.request(
                f"net-2026-{n:08}", 2000 + n, transmitted_at=at, merchant_id=f"merchant-{n % 30}", mcc=5000 + n % 20
            )
        )
        bench.run(say.presentment(f"net-2026-{n:08}", 2000 + n, f"clr-2026-{n:08}", transmitted_at=at + 2 * say.DAY))
        if n % 30 == 0:
            bench.run(say.payment(60_000, f"pay-{n}", transmitted_at=at))
    assert len(bench.rows[0, b"acct-1"]) < 2048


def test_a_message_that_came_to_a_wrong_partition_is_not_answered_from_there() -> None:
    """F9, F10: with another partitioner an account's messages come where its row is not; a second row must not be."""
    bench = Bench(partitions=4)  # `acct-4` is at home in partition 0, where the bench puts everything
    bench.run(say.opened("acct-4"), say.opened("acct-1"))
    assert list(bench.rows) == [(0, b"acct-4")]
    bench.run(say.request("ref-4", account="acct-4"), say.request("ref-1", account="acct-1"))
    assert [(d["account_id"], d["reason"]) for d in bench.on("authorization-decisions")] == [
        ("acct-4", None), ("acct-1", "system-malfunction"),
    ]  # fmt: skip
    assert [letter["reason"] for letter in bench.on("dead-letters")] == ["wrong-partition"] * 2
