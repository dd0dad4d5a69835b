"""The watch times first answers to requests, whatever else stands on the topic of decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from loadtest.decisions import DecisionWatch
from loadtest.openloop import UNOBSERVED
from loadtest.schedule import SECOND_NS, Schedule
from topics.cluster import Cluster


@pytest.fixture
def watch() -> Iterator[DecisionWatch]:
    """Never begun, so nothing is connected: records are handed in."""
    watch = DecisionWatch(Cluster("127.0.0.1:9"), Schedule(rate=10, requests=10), UNOBSERVED.decided)
    yield watch
    watch.end()


def decision(reference: str, outcome: str = "approved", **more: Any) -> bytes:
    body = {"type": "authorization-decision", "network_reference": reference, "outcome": outcome, "reason": None}
    return orjson.dumps(body | more)


def test_the_first_decision_of_a_request_is_timed_from_when_it_was_due(watch: DecisionWatch) -> None:
    watch.expect("a", 2)
    watch.take(decision("a"), SECOND_NS // 5 + 3_000_000)
    watch.take(decision("a", "declined", reason="control"), SECOND_NS)
    assert (len(watch.latencies), watch.outstanding) == (1, 0)
    assert watch.latencies.summary()["max"] == pytest.approx(3.0, rel=0.01)
    assert watch.outcomes == {"approved": 1}


def test_decisions_of_increments_and_acknowledgements_are_not_answers_to_requests(watch: DecisionWatch) -> None:
    watch.expect("a", 0)
    watch.take(decision("i-1"), 10)
    watch.take(orjson.dumps({"type": "advice-acknowledgement", "network_reference": "a", "outcome": "placed"}), 20)
    watch.take(orjson.dumps({"type": "reversal-acknowledgement", "network_reference": "a", "outcome": "released"}), 30)
    assert (len(watch.latencies), watch.outstanding, watch.decided_while_sending) == (0, 1, 0)
    watch.take(decision("a", "partially-approved"), 40)
    assert watch.outcomes == {"partially-approved": 1}


def test_a_shed_request_is_timed_but_no_part_of_the_rate(watch: DecisionWatch) -> None:
    """Above capacity most requests are shed, which is quick: a rate of all decisions would look like capacity."""
    for number, outcome in enumerate(["approved", "declined", "declined"]):
        watch.expect(f"r{number}", number)
        reason = {"reason": "timed-out"} if number == 2 else {"reason": "control"} if number else {}
        watch.take(decision(f"r{number}", outcome, **reason), SECOND_NS // 2)
    assert len(watch.latencies) == 3
    assert watch.decided_while_sending == 2
    assert watch.outcomes == {"approved": 1, "declined:control": 1, "declined:timed-out": 1}
