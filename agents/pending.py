"""What is decided and not committed yet, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from faust.types import TP

from topics.transport.redo import Work


@dataclass(slots=True, eq=False)
class Pending:
    """What a slice has made of a partition. `position`: up to which offset of the decisions everything is committed
    once this is. `recorded`: it can be read beside released decisions. `waited_for`: it has decisions itself, which can
    be read when it is committed."""

    partition: int
    work: Work
    position: int
    recorded: bool
    waited_for: bool


class Backlog:
    """`waiting` for a transaction, or `travelling` in one. Counts are kept, because they are asked for with each slice.

    `size`: rows and records in all of it. `waited_for`: how many of them have decisions that nobody can read yet.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is pending."""
        self.waiting: list[Pending] = []
        self.travelling: list[Pending] = []
        self._unrecorded: defaultdict[int, list[Pending]] = defaultdict(list)
        self.size = self.waited_for = 0

    def __bool__(self) -> bool:
        return bool(self.waiting or self.travelling)

    def put(self, pending: Pending) -> None:
        self.waiting.append(pending)
        self.size += pending.work.size
        self.waited_for += pending.waited_for
        if pending.recorded:  # and all before it with it
            self._unrecorded.pop(pending.partition, None)
        else:
            self._unrecorded[pending.partition].append(pending)

    def unrecorded(self, partition: int) -> list[Work]:
        """What was decided before and nobody could read if this worker died now."""
        return [pending.work for pending in self._unrecorded.get(partition, ())]

    def take(self) -> Sequence[Pending]:
        """What waits, which travels from now on; nothing must travel yet."""
        self.travelling, self.waiting = self.waiting, []
        return self.travelling

    def arrived(self) -> None:
        """What travelled is committed."""
        for pending in self.travelling:
            self.size -= pending.work.size
            self.waited_for -= pending.waited_for
        gone = set(self.travelling)
        for partition in {pending.partition for pending in self.travelling}:
            left = [each for each in self._unrecorded.pop(partition, ()) if each not in gone]
            if left:
                self._unrecorded[partition] = left
        self.travelling = []

    def decided_to(self, tp: TP) -> int | None:
        """The offset behind the last record of an input partition that is in it."""
        offsets = [
            pending.work.offsets[tp.topic]
            for pending in (*self.travelling, *self.waiting)
            if pending.partition == tp.partition and tp.topic in pending.work.offsets
        ]
        return max(offsets, default=None)


def latest_offsets(pendings: Iterable[Pending]) -> dict[TP, int]:
    """Behind the last record of each input partition."""
    return {
        TP(topic, pending.partition): offset for pending in pendings for topic, offset in pending.work.offsets.items()
    }
