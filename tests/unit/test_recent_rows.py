"""Rows kept in memory: the latest, a bounded number of them, and none that leaves in a crowd."""

from __future__ import annotations

from itertools import pairwise

from tables.recent import FREED_FOR_ONE, ROW_OVERHEAD_BYTES, RecentRows

_MOST = 100_000
_ROW = bytes(1000)


def _put(recent: RecentRows, number: int) -> None:
    """One row, as its owner does it."""
    if recent.full:
        recent.age()
    recent.put(number % 2, [(b"%d" % number, _ROW)])


def test_the_latest_row_is_found_in_either_generation() -> None:
    recent = RecentRows(_MOST)
    recent.put(0, [(b"a", b"1"), (b"b", b"1")])
    recent.age()
    recent.put(0, [(b"a", b"2")])
    assert [recent.row(0, key) for key in (b"a", b"b", b"c")] == [b"2", b"1", None]
    assert recent.row(1, b"a") is None, "another partition's"
    recent.age()
    assert [recent.row(0, key) for key in (b"a", b"b")] == [b"2", None]


def test_an_account_that_is_used_again_and_again_takes_no_more_memory() -> None:
    recent = RecentRows(_MOST)
    for number in range(1000):
        _put(recent, number % 10)
    assert not recent.full
    for number in range(10, _MOST // 2 // (len(_ROW) + ROW_OVERHEAD_BYTES)):
        _put(recent, number)
    assert not recent.full
    _put(recent, 1000)
    assert recent.full


def test_an_old_generation_leaves_a_few_rows_at_a_time() -> None:
    recent, leaving = RecentRows(_MOST), []
    for number in range(200):
        _put(recent, number)
        leaving.append(sum(map(len, recent._leaving)))
    assert max(leaving) > 20
    assert min(after - before for before, after in pairwise(leaving)) == -FREED_FOR_ONE
    assert leaving.count(0) > 20, "all have left before the next ones do"


def test_nothing_is_kept_once_it_is_cleared() -> None:
    recent = RecentRows(_MOST)
    for number in range(100):
        _put(recent, number)
    recent.clear()
    assert all(recent.row(number % 2, b"%d" % number) is None for number in range(100))
    assert not recent.full
