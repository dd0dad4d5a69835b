"""Decides a slice: records in, rows and records out, nothing sent and nothing stored yet (attempt.py).

A record that makes the domain raise is a bug, but must not stop everyone's cards: the slice is decided again without
it and it goes to the dead letters as `processing-error`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.attempt import Attempt, Means, Poisoned, Sweeper, Where
from agents.decided import Decided, Unswept
from agents.scoring import Model, Scorer
from models.authorization import Policy
from tables.rows import Encode, encode
from tables.unit_of_work import ReadRow

log = logging.getLogger(__name__)


class Engine:
    """Pure apart from reading committed rows and running the model: records and time make the decisions."""

    def __init__(
        self,
        read_row: ReadRow,
        model: Model | None,
        policy: Policy,
        max_future_ms: int,
        sweeper: Sweeper,
        partitions: int,
        *,
        encode_row: Encode = encode,
    ) -> None:
        """`partitions`: how many every topic has."""
        self.means = Means(read_row, Scorer(model), policy, max_future_ms, sweeper, partitions, encode_row)
        self._named: set[tuple[int, bytes]] = set()  # rows of which the log has heard

    def decide(self, records: Mapping[TP, list[ConsumerRecord]], now: int) -> Decided:
        """Decide all records of a slice, as often as poisoned ones have to be left out.

        `now`, in milliseconds, is what the clock says; only how long a request has waited is told by it.
        """
        poisoned: dict[Where, Exception] = {}
        while True:
            try:
                decided = Attempt(self.means, records, now, poisoned).run()
            except Poisoned as found:
                log.exception("a record made the domain raise; it goes to the dead letters: %s", found)
                poisoned[found.where] = found.error
            else:
                self._name(decided.unswept)
                return decided

    def _name(self, unswept: Iterable[Unswept]) -> None:
        """Each row once: a sweep comes by again and again."""
        for partition, key, error in unswept:
            if (partition, key) not in self._named:
                self._named.add((partition, key))
                name = key.decode(errors="backslashreplace")
                log.error(
                    "the row of account %s in partition %d cannot be swept (docs/runbook.md, RowsDamaged): %s",
                    name, partition, error, exc_info=None if isinstance(error, ValueError) else error,
                )  # fmt: skip
