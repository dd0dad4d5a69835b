"""The verdict: a run that did not do what it offered is not a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from loadtest.decisions import outcome_name
from loadtest.result import LoadResult, WorkerUsage

PASSED = LoadResult(
    offered_rate=1000,
    seconds=30,
    accounts=1000,
    sent=30_000,
    unsent=0,
    decided=30_000,
    missing=0,
    warmup_missing=0,
    overflow=0,
    rate=998.7,
    latency_ms={"p50": 1.0, "p90": 2.0, "p99": 3.0, "p99_9": 4.0, "max": 5.0},
    send_lag_ms={"p50": 0.1, "p90": 0.2, "p99": 0.3, "p99_9": 0.4, "max": 0.5},
    outcomes={"approved": 29_000, "declined:insufficient-open-to-buy": 1000},
    worker=WorkerUsage(12.5, 41.7, 180.3),
)


def test_a_run_that_did_everything_passes() -> None:
    assert PASSED.failures() == []


def test_h3_unsent_requests_are_counted_and_no_pass() -> None:
    result = replace(PASSED, sent=27_000, unsent=3_000, decided=27_000)
    assert result.failures() == ["3,000 of 30,000 requests were not sent"]
    assert result.as_json()["unsent"] == 3_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"missing": 2}, "2 requests were never decided"),
        ({"warmup_missing": 1}, "1 requests were never decided"),
        ({"overflow": 4}, "4 decisions were too slow"),  # H5
        ({"rate": 640.0}, "decided 640 of 1,000 requests per second"),
    ],
)
def test_each_shortcoming_is_named(change: dict[str, Any], words: str) -> None:
    failures = replace(PASSED, **change).failures()
    assert len(failures) == 1
    assert words in failures[0]


def test_a_rate_that_is_too_low_says_how_many_were_shed() -> None:
    result = replace(PASSED, rate=410.0, outcomes={"approved": 12_300, "declined:timed-out": 17_700})
    assert result.as_json()["shed"] == 17_700
    assert result.failures() == ["the engine decided 410 of 1,000 requests per second (17,700 were shed)"]


def test_json_has_the_promised_shape() -> None:
    document = orjson.loads(orjson.dumps(PASSED.as_json()))
    assert {"offered_rate", "sent", "unsent", "decided", "shed", "rate", "latency_ms", "outcomes"} <= document.keys()
    assert list(document["latency_ms"]) == ["p50", "p90", "p99", "p99_9", "max"]
    assert document["worker"] == {"cpu_seconds": 12.5, "cpu_percent": 41.7, "rss_mb": 180.3}


def test_outcomes_are_named_with_their_reason() -> None:
    assert outcome_name({"outcome": "approved", "reason": None}) == "approved"
    assert outcome_name({"outcome": "declined", "reason": "expired-card"}) == "declined:expired-card"
