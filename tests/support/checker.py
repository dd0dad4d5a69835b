"""Checks a finished run from the topics alone: reads them from end to end and works every account out again.

one reply to every input, in input order, each as the auditor says
journal entries dense, balanced, and adding up to the auditor's books
the changelog's last row of every account equal to its entries
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import asyncpg
import orjson
from prometheus_client import CollectorRegistry

from models.messages import (
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationDecision,
    JournalEntry,
    Posting,
    ReversalAcknowledgement,
)
from sinks.ledger import reports
from sinks.ledger.service import LedgerSink
from tables import rows
from tables.source_offsets import is_account
from tests.support.auditor import Auditor, same
from tests.support.traffic import read, wait_committed
from topics import codec
from topics.admin import changelog

REPLIES = {
    "authorization-decision": AuthorizationDecision,
    "advice-acknowledgement": AdviceAcknowledgement,
    "reversal-acknowledgement": ReversalAcknowledgement,
    "account-update": AccountUpdate,
}


def entry_of(value: bytes | None) -> JournalEntry:
    """The journal entry in a record."""
    body = orjson.loads(value or b"")
    body["postings"] = [Posting(**posting) for posting in body["postings"]]
    return JournalEntry(**body)


class Run:
    """A finished run's topics. `shed_after`: as the worker was told, in milliseconds."""

    def __init__(self, bootstrap: str, app_id: str = "opentobuy", shed_after: int | None = None) -> None:
        self.bootstrap = bootstrap
        self.app_id = app_id
        self.shed_after = shed_after

    def check(self) -> Auditor:
        """Raises Disagreement at the first thing that is not right. Openings must have come before everything else."""
        wait_committed(self.bootstrap, self.app_id)
        auditor = Auditor(shed_after=self.shed_after)
        self._replay(auditor, "account-events", "account-updates")
        self._replay(auditor, "authorizations", "authorization-decisions")
        entries = self.entries()
        last_rows = self.last_rows()
        same("accounts in the table", set(last_rows), set(auditor.books))
        for account_id in auditor.books:
            auditor.check_entries(account_id, entries[account_id])
            self._check_row(last_rows[account_id], entries[account_id])
        return auditor

    def _replay(self, auditor: Auditor, inputs: str, outputs: str) -> None:
        for number, (asked, answered) in enumerate(
            zip(read(self.bootstrap, inputs), read(self.bootstrap, outputs), strict=True)
        ):
            same(f"{outputs} {number}: replies", len(answered), len(asked))
            for question, answer in zip(asked, answered, strict=True):
                message = codec.decode(inputs, question.key(), question.value())
                body = orjson.loads(answer.value())
                auditor.check(message, REPLIES[body["type"]](**body))

    def entries(self) -> dict[str, list[JournalEntry]]:
        found: dict[str, list[JournalEntry]] = defaultdict(list)
        for partition in read(self.bootstrap, "journal-entries"):
            for record in partition:
                entry = entry_of(record.value())
                found[entry.account_id].append(entry)
        return found

    def last_rows(self) -> dict[str, bytes]:
        last = {}
        for partition in read(self.bootstrap, changelog(self.app_id).name):
            for record in partition:
                if is_account(record.key()):
                    last[record.key().decode()] = record.value()
        return last

    async def post(self, dsn: str) -> None:
        """Let the real sink write every entry to PostgreSQL, then compare each account's row with the ledger."""
        sink = LedgerSink(
            bootstrap=self.bootstrap, dsn=dsn, group_id=f"{self.app_id}-ledger", registry=CollectorRegistry()
        )
        running = asyncio.create_task(sink.run())
        expected = sum(map(len, self.entries().values()))
        connection = await asyncpg.connect(dsn)
        try:
            async with asyncio.timeout(60):
                await sink.ready.wait()
                while (await reports.counts(connection)).entries < expected:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            figures = {}
            for account_id, row in self.last_rows().items():
                account = rows.decode(row)
                figures[account_id] = (account.posted_balance, account.open_holds(), account.sequence)
            same("imbalance", (await reports.trial_balance(connection)).balanced, True)
            same("differences", reports.reconcile(figures, await reports.balances_by_account(connection)), [])
            same("accounts compared", len(figures) > 0, True)
        finally:
            await connection.close()
            await sink.stop()
            await running

    @staticmethod
    def _check_row(row: bytes, entries: list[JournalEntry]) -> None:
        account: Any = rows.decode(row)
        totals: dict[str, int] = defaultdict(int)
        for entry in entries:
            for posting in entry.postings:
                totals[posting.ledger_account] += posting.amount
        figures = (account.posted_balance, account.open_holds(), account.sequence)
        same(account.account_id, figures, (totals["cardholder-receivable"], totals["open-holds"], len(entries)))
