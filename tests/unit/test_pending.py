"""What is decided and not committed: its counts are kept, and have to stay what looking through all of it would say."""

from __future__ import annotations

import pytest
from faust.types import TP

from agents.pending import Backlog, Pending, latest_offsets
from topics.transport.redo import Work


def pending(
    offset: int, *, partition: int = 0, topic: str = "in", recorded: bool = False, waited_for: bool = False
) -> Pending:
    """With two records."""
    work = Work({topic: offset}, [(b"a", b"row")], {"entries": [(None, b"entry")]})
    return Pending(partition, work, 100, recorded, waited_for)


@pytest.fixture
def backlog() -> Backlog:
    return Backlog()


def said(backlog: Backlog, partition: int = 0) -> list[int]:
    """By their offsets."""
    return [offset for work in backlog.unrecorded(partition) for offset in work.offsets.values()]


def test_what_waits_and_what_travels_counts_and_what_has_arrived_does_not(backlog: Backlog) -> None:
    assert not backlog
    backlog.put(pending(1, waited_for=True))
    backlog.put(pending(2))
    assert (backlog.size, backlog.waited_for, bool(backlog)) == (4, 1, True)
    travelling = backlog.take()
    assert [each.work.offsets["in"] for each in travelling] == [1, 2]
    backlog.put(pending(3, waited_for=True))
    assert (backlog.size, backlog.waited_for) == (6, 2)
    backlog.arrived()
    assert (backlog.size, backlog.waited_for, bool(backlog)) == (2, 1, True)
    backlog.take()
    backlog.arrived()
    assert (backlog.size, backlog.waited_for, bool(backlog)) == (0, 0, False)


def test_what_is_recorded_records_what_came_before_it_of_its_partition(backlog: Backlog) -> None:
    backlog.put(pending(1))
    backlog.put(pending(2, partition=1))
    backlog.take()
    backlog.put(pending(3))
    assert (said(backlog, 0), said(backlog, 1)) == ([1, 3], [2])
    backlog.put(pending(4, recorded=True))
    assert (said(backlog, 0), said(backlog, 1)) == ([], [2])
    backlog.put(pending(5))
    assert said(backlog, 0) == [5]


def test_what_has_arrived_need_not_be_said_and_what_came_meanwhile_must(backlog: Backlog) -> None:
    backlog.put(pending(1))
    backlog.put(pending(2, partition=1))
    backlog.take()
    backlog.put(pending(3))
    backlog.arrived()
    assert (said(backlog, 0), said(backlog, 1)) == ([3], [])


def test_an_input_is_decided_as_far_as_the_furthest_of_it(backlog: Backlog) -> None:
    backlog.put(pending(7))
    backlog.take()
    backlog.put(pending(9))
    backlog.put(pending(3, topic="other"))
    backlog.put(pending(12, partition=1))
    asked = [TP("in", 0), TP("other", 0), TP("in", 1), TP("other", 1)]
    assert [backlog.decided_to(tp) for tp in asked] == [9, 3, 12, None]


def test_what_is_forgotten_counts_no_more(backlog: Backlog) -> None:
    backlog.put(pending(1, waited_for=True))
    backlog.take()
    backlog.put(pending(2))
    backlog.forget()
    assert (backlog.size, backlog.waited_for, bool(backlog), said(backlog)) == (0, 0, False, [])
    assert backlog.decided_to(TP("in", 0)) is None


def test_of_each_input_the_last_offset_is_committed() -> None:
    each = [pending(1), pending(5, partition=1), pending(2), pending(8, topic="other")]
    assert latest_offsets(each) == {TP("in", 0): 2, TP("in", 1): 5, TP("other", 0): 8}
