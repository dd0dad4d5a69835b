"""Defects that histories have found and that production code still has. Each is the change that would heal it and the
kind of history that shows it; other histories run healed, so that one defect does not hide the next. Once production
code no longer has it, `test_known_defects` fails: then it goes from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.simulation.history import History
from tests.simulation.mutations import Mutation, mutated
from topics.transport.consumer import SliceThread


@dataclass(frozen=True)
class Defect:
    """`shape` is the kind of history in which it shows soon when `healing` is not there."""

    healing: Mutation
    shape: Callable[[History], None]


def frozen_before_the_first_record(history: History) -> None:
    """Nothing else goes wrong than that workers freeze, often for longer than their session."""
    history.plan.freezes_at, history.plan.freezes = "write", 0.3
    history.plan.dies, history.fault_rate, history.doze_rate = 0.0, 0.0, 0.0


DEFECTS: list[Defect] = [
    # A worker freezes between the answer to its offsets and its first record; another gets the partition, finds no open
    # transaction in the changelog, takes its tables for restored, and waits for stable offsets. The first goes on and
    # commits. The other starts behind that commit with tables from before it.
    # With one real broker it could not be shown: aiokafka sends a broker no fetch while a partition there waits for its
    # stable offset, so the changelog is not read on either. Nothing of ours asks for that, and where the changelog and
    # the input have different leaders it does not hold.
    Defect(
        Mutation(
            "offsets are stable before the end of a changelog is asked for", SliceThread, "_highwaters",
            "consumer = self._ensure_consumer()",
            "consumer = self._ensure_consumer()\n"
            "    await consumer._coordinator.fetch_committed_offsets(sorted(consumer.assignment()))",
        ),
        frozen_before_the_first_record,
    ),
]  # fmt: skip


@contextmanager
def healed(without: Defect | None = None) -> Iterator[None]:
    """All of them out of the way, but for one."""
    with ExitStack() as stack:
        for defect in DEFECTS:
            if defect is not without:
                stack.enter_context(mutated(defect.healing))
        yield
