"""Openings, presentments, payments and the clock."""

from __future__ import annotations

import pytest

from tests.support import messages as say
from tests.support.engine import Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.run(say.opened(credit_limit=500_000))
    return bench


def kinds(sent: list[dict]) -> list[str]:  # type: ignore[type-arg]
    return [record["entry_type"] for record in sent if record["type"] == "journal-entry"]


def test_a_presentment_consumes_its_hold_and_posts(bench: Bench) -> None:
    bench.run(say.request(amount=1000))
    [update, *entries] = bench.run(say.presentment(amount=1000))
    assert (update["outcome"], update["posted_balance"], update["open_holds"]) == ("applied", 1000, 0)
    assert update["open_to_buy"] == 499_000
    assert kinds(entries) == ["hold-consumed", "presentment-posted"]


def test_a_final_presentment_below_the_hold_frees_the_rest(bench: Bench) -> None:
    bench.run(say.request(amount=10_000))
    sent = bench.run(say.presentment(amount=8_000, final=True))
    assert bench.account().open_holds() == 0
    assert kinds(sent) == ["hold-consumed", "hold-released", "presentment-posted"]


def test_a_non_final_presentment_leaves_the_rest_held(bench: Bench) -> None:
    bench.run(say.request(amount=10_000))
    bench.run(say.presentment(amount=8_000, final=False))
    assert (bench.account().open_holds(), bench.account().posted_balance) == (2_000, 8_000)


def test_a_presentment_over_the_hold_posts_in_full_even_past_the_limit(bench: Bench) -> None:
    bench.run(say.request(amount=500_000))
    [update, *_entries] = bench.run(say.presentment(amount=520_000))
    assert (update["posted_balance"], update["open_to_buy"]) == (520_000, -20_000)


def test_a_presentment_without_a_hold_posts_all_the_same(bench: Bench) -> None:
    [update, entry] = bench.run(say.presentment("never-authorised", 700))
    assert update["outcome"] == "posted-without-hold"
    assert entry["entry_type"] == "presentment-posted"


def test_b6_a_hold_that_ended_is_not_released_again_by_its_late_presentment(bench: Bench) -> None:
    bench.run(say.request(amount=8_000, transmitted_at=say.T0))
    [update, *entries] = bench.run(say.presentment(amount=8_000, transmitted_at=say.T0 + 10 * say.DAY))
    assert (update["posted_balance"], update["open_holds"], update["open_to_buy"]) == (8_000, 0, 492_000)
    assert kinds(entries) == ["hold-expired", "presentment-posted"]
    assert bench.run(say.presentment(amount=8_000, transmitted_at=say.T0 + 10 * say.DAY)) == [update]
    assert bench.account().posted_balance == 8_000


def test_a_payment_larger_than_the_debt_leaves_a_credit_balance(bench: Bench) -> None:
    bench.run(say.presentment(amount=500))
    [update, _entry] = bench.run(say.payment(4_000))
    assert (update["posted_balance"], update["open_to_buy"]) == (-3_500, 503_500)


@pytest.mark.parametrize("message", [say.presentment(), say.payment()], ids=lambda message: message.type)
class TestPostingTwice:
    def test_at_once_gives_the_stored_answer(self, bench: Bench, message: object) -> None:
        first = bench.run(message)[0]  # type: ignore[arg-type]
        assert bench.run(message) == [first]  # type: ignore[arg-type]

    def test_after_weeks_and_a_hundred_other_postings_moves_nothing(self, bench: Bench, message: object) -> None:
        bench.run(message)  # type: ignore[arg-type]
        bench.one_by_one(*[say.payment(1, f"p-{n}", transmitted_at=say.T0 + 20 * say.DAY) for n in range(100)])
        balance = bench.account().posted_balance
        [update] = bench.run(message)  # type: ignore[arg-type]
        assert update["outcome"] == "duplicate"
        assert bench.account().posted_balance == balance


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (say.presentment(account="nobody"), "unknown-account"),
        (say.payment(account="nobody"), "unknown-account"),
        (say.presentment(currency="EUR"), "currency-mismatch"),
        (say.opened(message_id="another"), "account-exists"),
        (say.opened("acct-2", currency="XXX"), "unknown-currency"),
    ],
)
def test_what_cannot_be_applied_is_answered_and_parked(bench: Bench, message: object, outcome: str) -> None:
    answers = bench.run(message)  # type: ignore[arg-type]
    assert {answer["type"] for answer in answers} == {"account-update", "dead-letter"}
    assert [answer.get("outcome") or answer["reason"] for answer in answers] == [outcome, outcome]
    assert bench.account().posted_balance == 0


def test_a_tick_writes_down_ended_holds_once(bench: Bench) -> None:
    bench.run(say.request(amount=1000, transmitted_at=say.T0))
    assert bench.run(say.tick(say.T0 + 6 * say.DAY)) == []
    [entry] = bench.run(say.tick(say.T0 + 7 * say.DAY))
    assert (entry["entry_type"], entry["cause"]) == ("hold-expired", "ref-1")
    assert bench.run(say.tick(say.T0 + 8 * say.DAY)) == []


def test_ticks_walk_through_all_rows_a_few_at_a_time() -> None:
    bench = Bench()
    accounts = [f"acct-{n:04}" for n in range(450)]
    bench.run(*[say.opened(account) for account in accounts])
    bench.run(*[say.request(f"ref-{account}", 100, account, transmitted_at=say.T0) for account in accounts])
    swept = [len(bench.run(say.tick(say.T0 + 8 * say.DAY))) for _ in range(4)]
    assert swept == [200, 200, 50, 0]
