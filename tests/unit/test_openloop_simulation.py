"""Simulated time: it ends about now, is never in the future, and stays within the life of a hold."""

from __future__ import annotations

import orjson
import pytest

from loadtest.simulation import (
    DAY_MS,
    LONGEST_SPAN_DAYS,
    USUAL_PER_DAY,
    Simulation,
    TooFewAccounts,
    fresh_run,
    prepare,
    span_of,
)
from loadtest.spool import Group, Spool

NOON_MS = 1_795_608_000_000  # 2026-11-25 12:00 UTC


def played(plan: Simulation, now_ms: int) -> list[Group]:
    spool = Spool()
    try:
        prepare(plan, "t", 4, now_ms, spool, lambda _what, _done, _total: None)
        return list(spool)
    finally:
        spool.close()


def dates(groups: list[Group]) -> list[int]:
    return [orjson.loads(record.value)["transmitted_at"] for group in groups for record in group]


def test_a_light_run_keeps_the_usual_activity() -> None:
    span = span_of(requests=3000, accounts=1000)
    assert (span.days, span.per_account_day) == (1.0, USUAL_PER_DAY)


def test_a_heavy_run_makes_accounts_busier_instead_of_lasting_longer_than_holds() -> None:
    span = span_of(requests=480_000, accounts=10_000)
    assert span.days == LONGEST_SPAN_DAYS
    assert span.per_account_day == pytest.approx(9.6)


def test_more_requests_than_accounts_can_make_are_refused_with_a_number_that_would_do() -> None:
    with pytest.raises(TooFewAccounts, match="at least 60 accounts, not 1"):
        span_of(requests=300_000, accounts=1)
    assert span_of(requests=300_000, accounts=60).per_account_day == 1000


@pytest.mark.parametrize("hour", range(0, 24, 3))
@pytest.mark.parametrize(("rate", "accounts"), [(50, 20), (20, 1000), (300, 200), (1, 1000)])
def test_messages_end_before_now_at_any_hour(hour: int, rate: float, accounts: int) -> None:
    now_ms = NOON_MS + hour * 3_600_000
    plan = Simulation(rate=rate, seconds=4, accounts=accounts, warmup=1)
    groups = played(plan, now_ms)
    assert len(groups) == plan.schedule.total
    found = dates(groups)
    assert max(found) <= now_ms
    assert now_ms - max(found) < DAY_MS, "and not long before it"
    assert min(found) > now_ms - 7 * DAY_MS, "a hold placed at the start has not ended at the end"


def test_equal_seeds_play_equal_traffic() -> None:
    plan = Simulation(rate=100, seconds=1, accounts=20, seed=5, warmup=0)
    assert played(plan, NOON_MS) == played(plan, NOON_MS)


def test_every_run_has_identifiers_of_its_own() -> None:
    assert fresh_run() != fresh_run()


def test_authorizations_only_leaves_out_presentments_reversals_and_payments_and_keeps_the_number_of_requests() -> None:
    def types(plan: Simulation) -> set[str]:
        return {orjson.loads(record.value)["type"] for group in played(plan, NOON_MS) for record in group}

    mixed = Simulation(rate=300, seconds=4, accounts=50, warmup=1)
    only = Simulation(rate=300, seconds=4, accounts=50, warmup=1, follow_ups=False)
    assert types(mixed) > types(only) == {"authorization-request"}
    assert len(played(only, NOON_MS)) == only.schedule.total
