"""A restore that takes long says how far it is; one that does not says nothing."""

from __future__ import annotations

import pytest

from agents.restoring import RestoreProgress


class Restore:
    """One worker's restores, second by second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self._progress = RestoreProgress(self.said.append, lambda: self.now)

    def run(self, offsets: int, seconds: int) -> list[str]:
        """Reads so many offsets at an even pace; what was said meanwhile."""
        self.said.clear()
        for second in range(seconds):
            self._progress.look(offsets - offsets * second // seconds)
            self.now += 1
        self._progress.look(0)
        self._progress.look(0)
        return self.said


@pytest.fixture
def restore() -> Restore:
    return Restore()


def test_nothing_is_said_of_a_short_restore(restore: Restore) -> None:
    assert restore.run(1000, 4) == []
    assert restore.run(0, 60) == []


def test_a_long_restore_says_how_far_it_is_and_how_long_it_takes(restore: Restore) -> None:
    assert restore.run(3_000_000, 30) == [
        "restoring: 17% of 3,000,000 changelog offsets, 25 s to go",
        "restoring: 50% of 3,000,000 changelog offsets, 15 s to go",
        "restoring: 83% of 3,000,000 changelog offsets, 5 s to go",
        "restored 3,000,000 changelog offsets in 30 s",
    ]


def test_each_restore_is_counted_by_itself(restore: Restore) -> None:
    restore.run(3_000_000, 30)
    assert restore.run(500, 20)[0] == "restoring: 25% of 500 changelog offsets, 15 s to go"


def test_nothing_read_yet_is_no_pace(restore: Restore) -> None:
    for _ in range(7):
        restore._progress.look(40)
        restore.now += 1
    assert restore.said == ["restoring: 0% of 40 changelog offsets"]
