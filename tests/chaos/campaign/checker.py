"""Checks one partition's history of a finished run. What must hold:

1.  Every input that is a message has one reply, in the order of the inputs, and the auditor gives the same.
2.  Every account's journal entries are numbered without a gap, balance, and are those of the auditor's books.
3.  The changelog's last row of every account says what its entries add up to.
4.  Every poison record has one dead letter, which holds it whole; nothing else is in the dead letters but messages that
    were parked under the outcome that their reply names.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from tables import rows
from tests.chaos.campaign.history import INPUTS, History, Record, message, read
from tests.chaos.campaign.story import POISON_KEY
from tests.support.auditor import Auditor, Disagreement, same
from tests.support.checker import REPLIES, Run


class Difference(AssertionError):
    """The first thing that is not right. `at`: when the input behind it came (milliseconds), if there is one."""

    def __init__(self, what: str, account_id: str | None, history: History, at: int | None = None) -> None:
        lines = [] if account_id is None else history.account(account_id)
        super().__init__("\n".join([f"partition {history.partition}, account {account_id}: {what}", *lines]))
        self.what = what
        self.at = at


@dataclass(slots=True)
class Checked:
    """What one partition amounts to. `difference`: the first thing that is wrong, with its history; `at` as there."""

    messages: int
    poison: int
    entries: int
    figures: dict[str, tuple[int, int, int]]
    difference: str | None = None
    at: int | None = None


def checked(bootstrap: str, partition: int) -> Checked:
    """Read and check one partition of a finished run."""
    history = read(bootstrap, partition)
    messages = sum(not _is_poison(record) for records in history.inputs.values() for record in records)
    found = Checked(messages, poisoned(history), len(history.entries), figures(history))
    try:
        check(history)
    except Difference as difference:
        found.difference, found.at = str(difference), difference.at
    return found


def check(history: History) -> int:
    """How many messages were decided; raises Difference."""
    auditor = Auditor()
    parked = {topic: _check_replies(auditor, history, topic) for topic in INPUTS}
    _check_books(auditor, history)
    _check_dead_letters(history, parked)
    return sum(map(len, parked.values()))


def _check_replies(auditor: Auditor, history: History, topic: str) -> dict[int, str]:
    """Offset of each message -> the outcome or reason that its reply names."""
    said = {}
    for question, answer in zip_longest(_messages(history.inputs[topic]), history.replies[INPUTS[topic]]):
        if question is None:
            account_id = (answer.key or b"").decode()
            raise Difference(f"a reply too many: {answer.value!r}", account_id, history, answer.at)
        account_id = (question.key or b"").decode()
        if answer is None:
            raise Difference(f"no reply to {topic} {question.offset}", account_id, history, question.at)
        body = orjson.loads(answer.value or b"")
        try:
            auditor.check(message(topic, question), REPLIES[body["type"]](**body))
        except Disagreement as disagreement:
            what = f"{topic} {question.offset}: {disagreement}"
            raise Difference(what, account_id, history, question.at) from disagreement
        said[question.offset] = body.get("reason") or body["outcome"]
    return said


def _check_books(auditor: Auditor, history: History) -> None:
    strangers = (set(history.rows) | set(history.by_account)) ^ set(auditor.books)
    for account_id in sorted(strangers):
        raise Difference("in the table or in the auditor's books, not in both", account_id, history)
    for account_id in auditor.books:
        entries = history.by_account.get(account_id, [])
        try:
            same("rows in the changelog", account_id in history.rows, True)
            auditor.check_entries(account_id, entries)
            Run._check_row(history.rows[account_id], entries)
        except Disagreement as disagreement:
            raise Difference(str(disagreement), account_id, history) from disagreement


def _check_dead_letters(history: History, parked: dict[str, dict[int, str]]) -> None:
    letters = Counter((letter["topic"], letter["offset"]) for letter in history.dead_letters)
    for topic, records in history.inputs.items():
        for record in records:
            if _is_poison(record) and letters[topic, record.offset] != 1:
                what = f"poison at {topic} {record.offset} has {letters[topic, record.offset]} dead letters"
                raise Difference(what, None, history, record.at)
    inputs = {(topic, record.offset): record for topic, records in history.inputs.items() for record in records}
    for letter in history.dead_letters:
        _check_dead_letter(history, letter, inputs.get((letter["topic"], letter["offset"])), parked)


def _check_dead_letter(
    history: History, letter: dict[str, Any], record: Record | None, parked: dict[str, dict[int, str]]
) -> None:
    if record is None:
        raise Difference(f"a dead letter of nothing: {letter}", None, history)
    kept = [None if letter[name] is None else base64.b64decode(letter[name]) for name in ("key_base64", "value_base64")]
    if kept != [record.key, record.value]:
        raise Difference(f"a dead letter that is not its record: {letter}", None, history, record.at)
    if _is_poison(record):
        return
    outcome = parked[letter["topic"]].get(record.offset)
    if letter["reason"] not in {outcome, "too-many-open-holds"}:
        what = f"{letter['topic']} {record.offset} is a message, answered {outcome}, and parked as {letter['reason']}"
        raise Difference(what, (record.key or b"").decode(), history, record.at)


def poisoned(history: History) -> int:
    """How many poison records there are."""
    return sum(_is_poison(record) for records in history.inputs.values() for record in records)


def figures(history: History) -> dict[str, tuple[int, int, int]]:
    """Account -> (posted balance, open holds, last sequence) as its row says, for the comparison with the ledger."""
    found = {}
    for account_id, row in history.rows.items():
        account = rows.decode(row)
        found[account_id] = (account.posted_balance, account.open_holds(), account.sequence)
    return found


def _messages(records: list[Record]) -> Iterator[Record]:
    return (record for record in records if not _is_poison(record))


def _is_poison(record: Record) -> bool:
    return (record.key or b"").startswith(POISON_KEY)
