"""What a tick of the clock does to a row: ended holds are written down, and what had to wait for a score gets it.

A sweep that comes by a damaged row, or cannot do its work in one, names the row and goes on with the next.
"""

from __future__ import annotations

from agents.decided import Unswept
from agents.output import Output
from agents.scoring import Scorer
from models import servicing
from models.account import Account
from tables.rows import NewerRow
from tables.store import StoreDamaged
from tables.unit_of_work import UnitOfWork


class Sweep:
    """That of one slice: rows go to `unit`, what is to be sent to `output`."""

    def __init__(self, scorer: Scorer, unit: UnitOfWork, output: Output) -> None:
        self.unswept: list[Unswept] = []
        self._scorer = scorer
        self._unit = unit
        self._output = output

    def row(self, partition: int, key: bytes, now: int) -> None:
        """All of it or nothing: what a sweep cannot do in one row waits there, and the others are swept."""
        account = None
        try:
            account = self._unit.get(partition, key.decode())
            if account is not None:
                self._output.absorb(self._account(partition, account, now))
        except (StoreDamaged, NewerRow):
            raise
        except Exception as error:
            self.unswept.append(Unswept(partition, key, error))
            if account is not None:
                self._unit.drop(partition, account.account_id)

    def _account(self, partition: int, account: Account, now: int) -> Output:
        """What to send of it; the row is put away by then."""
        output = Output()
        entries = servicing.sweep(account, now)
        waiting = account.unscored
        scores = self._scorer.late(waiting) if waiting else None
        if entries:
            output.swept(partition, account.account_id, entries)
        if scores is not None:
            for request, score in zip(waiting, scores, strict=True):
                output.scored_late(partition, account.account_id, request, score, now)
            account.unscored = []
        if entries or scores is not None:
            self._unit.put(partition, account)
            self._unit.put_away()
        return output
