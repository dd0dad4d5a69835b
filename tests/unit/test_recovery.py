"""When the tables count as restored."""

from __future__ import annotations

from collections import Counter
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from faust.tables.recovery import Recovery
from faust.types import TP

from topics.transport.recovery import FAR, MarkerAwareRecovery, Patience

CHANGELOG = TP("changelog", 0)
FAR_END = 5 * FAR


class Consumer:
    """As much of the consumer as the recovery asks."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.position: int | None = None
        self.last_handed_out: int | None = None
        self.thread = SimpleNamespace(call_thread=self.call, progress=None)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.end)

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.position = offsets[CHANGELOG]

    async def call(self, _method: Any, tps: set[TP]) -> dict[TP, tuple[int | None, int | None]]:
        return dict.fromkeys(tps, (self.position, self.last_handed_out))


@pytest.fixture
def consumer() -> Consumer:
    return Consumer(end=101)  # 99 records, then at 100 the marker of their transaction


@pytest.fixture
def recovery(consumer: Consumer) -> MarkerAwareRecovery:
    recovery = MarkerAwareRecovery.__new__(MarkerAwareRecovery)
    recovery.app = SimpleNamespace(consumer=consumer)
    recovery.active_tps, recovery.active_offsets, recovery.active_highwaters = {CHANGELOG}, Counter(), Counter()
    recovery.active_offsets[CHANGELOG] = None  # type: ignore[assignment]
    recovery.log = SimpleNamespace(info=lambda *_args: None)  # type: ignore[assignment]
    return recovery


async def position(recovery: MarkerAwareRecovery, consumer: Consumer) -> None:
    await recovery._build_highwaters(consumer, {CHANGELOG}, recovery.active_highwaters, "active")
    await recovery._build_offsets(consumer, {CHANGELOG}, recovery.active_offsets, "active")
    await recovery._seek_offsets(consumer, {CHANGELOG}, recovery.active_offsets, "active")


async def test_nothing_is_restored_while_offsets_are_unknown(recovery: MarkerAwareRecovery, consumer: Consumer) -> None:
    """Two workers decided on half-empty tables before this was so: Faust says False here."""
    await recovery._build_highwaters(consumer, {CHANGELOG}, recovery.active_highwaters, "active")
    assert Recovery.need_recovery(recovery) is False
    assert recovery.need_recovery() is True


async def test_a_marker_at_the_end_is_no_record_to_wait_for(recovery: MarkerAwareRecovery, consumer: Consumer) -> None:
    await position(recovery, consumer)
    consumer.position, consumer.last_handed_out = 101, 99
    recovery.active_offsets[CHANGELOG] = 99
    assert Recovery.need_recovery(recovery) is True, "Faust would wait for a record at 100 for ever"
    await recovery._finish_partitions()
    assert recovery.need_recovery() is False


async def test_what_is_left_is_what_the_owner_has_yet_to_read(
    recovery: MarkerAwareRecovery, consumer: Consumer
) -> None:
    await position(recovery, consumer)
    assert recovery.left() == recovery.active_highwaters[CHANGELOG] - recovery.active_offsets[CHANGELOG] == 101
    recovery.active_offsets[CHANGELOG] = 40
    assert recovery.left() == 60
    consumer.position, consumer.last_handed_out = 101, 99
    recovery.active_offsets[CHANGELOG] = 99
    await recovery._finish_partitions()
    assert recovery.left() == 0


@pytest.mark.parametrize(
    ("position_", "handed_out", "applied"),
    [(100, 99, 99), (101, 99, 98), (50, 49, 49), (None, None, 7)],
    ids=["marker not passed", "last record not applied", "half way", "no position yet"],
)
async def test_it_is_not_restored_before_everything_is_read_and_applied(
    recovery: MarkerAwareRecovery, consumer: Consumer, position_: int | None, handed_out: int | None, applied: int
) -> None:
    await position(recovery, consumer)
    consumer.position, consumer.last_handed_out = position_, handed_out
    recovery.active_offsets[CHANGELOG] = applied
    await recovery._finish_partitions()
    assert recovery.need_recovery() is True


@pytest.mark.parametrize(("offset", "far"), [(FAR_END - FAR - 1, False), (FAR_END - FAR - 2, True)])
async def test_only_an_owner_far_from_the_end_may_lose_batches(
    recovery: MarkerAwareRecovery, consumer: Consumer, offset: int, far: bool
) -> None:
    consumer.end = FAR_END
    assert recovery.is_far(CHANGELOG, offset) is False, "the end is not known yet"
    await position(recovery, consumer)
    assert recovery.is_far(CHANGELOG, offset) is far
    recovery.active_tps = set()  # a standby's
    assert recovery.is_far(CHANGELOG, offset) is False


def test_a_recovery_that_comes_further_may_take_as_long_as_it_has_to() -> None:
    patience = Patience(10.0)
    assert not any(patience.is_over(1000 - second // 9, float(second)) for second in range(1000))


@pytest.mark.parametrize("left", [inf, 0, 7])
def test_a_recovery_that_comes_no_further_is_given_up(left: float) -> None:
    patience = Patience(10.0)
    assert [patience.is_over(left, second) for second in (100.0, 110.0, 110.1)] == [False, False, True]
    patience.rest()
    assert not patience.is_over(left, 500.0)


def test_to_begin_again_is_not_to_come_further() -> None:
    """Rebalances without end: the same records are read, again and again."""
    patience = Patience(10.0)
    assert [patience.is_over(left, at) for at, left in enumerate([inf, 9, inf, 8, *[inf, 9] * 6])][-3:] == [
        False, True, True,
    ]  # fmt: skip
