"""Defects that histories have found and that production code still has. Each is the change that would heal it and a
seed that shows it; histories run healed, so that one defect does not hide the next. `test_known_defects` fails as soon
as production code no longer has one: then it goes from here, and its seed to seeds.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.simulation.mutations import Mutation, mutated
from topics.transport.consumer import SliceThread


@dataclass(frozen=True)
class Defect:
    """`seed`: of a history that goes wrong without `healing`."""

    healing: Mutation
    seed: int


DEFECTS: list[Defect] = [
    # A worker freezes between the answer to its offsets and its first record; another gets the partition, finds no open
    # transaction in the changelog, takes its tables for restored, and waits for stable offsets. The first goes on and
    # commits. The other starts behind that commit with tables from before it.
    Defect(
        Mutation(
            "offsets are stable before the end of a changelog is asked for", SliceThread, "_highwaters",
            "consumer = self._ensure_consumer()",
            "consumer = self._ensure_consumer()\n"
            "    await consumer._coordinator.fetch_committed_offsets(sorted(consumer.assignment()))",
        ),
        seed=229,
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
