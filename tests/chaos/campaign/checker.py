"""Checks one partition's history of a finished run, or a share of it. What must hold:

1.  Every input that is a message has one reply, in the order of the inputs, and the auditor gives the same. What is
    declined because it had waited too long had done so.
2.  Every account's journal entries are numbered without a gap, balance, and are those of the auditor's books.
3.  The changelog's last row of every account says what its entries add up to, holds what the auditor's book holds, and
    is at its time.
4.  Every poison record has one dead letter, which holds it whole, and so has every update that was refused; nothing
    else is in the dead letters but messages that were parked under the outcome that their reply names. A message that
    is dated too far ahead is poison, and its dead letter says so.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from tables import rows
from tests.chaos.campaign.figures import Progress
from tests.chaos.campaign.history import ALL, REPLIES, SHED_AFTER_MS, History, Record, Share, read, topic_records
from tests.chaos.campaign.pairing import (
    Pair,
    Sides,
    Unpaired,
    by_account,
    is_from_the_future,
    is_poison,
    merged,
    other_choice,
)
from tests.chaos.campaign.reader import digest
from tests.chaos.campaign.refusals import Finding, refusals
from tests.support.auditor import Auditor, Disagreement, same
from tests.support.auditor.book import Book
from tests.support.checker import Run

FROM_THE_FUTURE: Final = "from-the-future"
PARKED: Final = frozenset({"unknown-purchase", "illegal-dispute-stage", "amount-exceeds-purchase"})
"""Outcomes of updates that are refused, with nothing of them on the account: people must look at them."""
MOST_ORDERS: Final = 1000
"""Orders of one account that are tried at most."""


class Difference(AssertionError):
    """The first thing that is not right. `at`: when the input behind it came (milliseconds), if there is one."""

    def __init__(self, what: str, account_id: str | None, history: History, at: int | None = None) -> None:
        lines = [] if account_id is None else history.account(account_id)
        super().__init__("\n".join([f"partition {history.partition}, account {account_id}: {what}", *lines]))
        self.at = at


@dataclass(slots=True)
class Checked:
    """What a share of a partition amounts to. `replies`: reply topic -> what its reader must have read of the whole
    partition (`reader.digest`); with the first share."""

    partition: int
    messages: int
    poison: int
    from_the_future: int
    entries: int
    figures: dict[str, tuple[int, int, int]]
    findings: list[Finding]
    replies: dict[str, tuple[int, str]]


def checked(bootstrap: str, partition: int, share: Share) -> Checked:
    """Read and check a share of one partition of a finished run."""
    history = read(bootstrap, partition, share)
    poison = poisoned(history)
    messages = sum(map(len, history.inputs.values())) - poison
    early = sum(is_from_the_future(record) for records in history.inputs.values() for record in records)
    return Checked(
        partition, messages, poison, early, len(history.entries), figures(history), findings(history),
        _replies(bootstrap, history, share),
    )  # fmt: skip


def _replies(bootstrap: str, history: History, share: Share) -> dict[str, tuple[int, str]]:
    """The digests of a partition's replies, from its first share: of the history where it is whole."""
    if share.part > 0:
        return {}
    if share == ALL:
        return {topic: digest(records) for topic, records in history.replies.items()}
    return {topic: digest(topic_records(bootstrap, topic, history.partition)) for topic in REPLIES}


def findings(history: History) -> list[Finding]:
    """Every message that was refused although it is one, and the first other thing that is not right."""
    found, rest = refusals(history)
    try:
        check(rest)
    except Difference as difference:
        found.append(Finding(str(difference), difference.at))
    return found


def check(history: History) -> int:
    """How many messages were decided; raises Difference."""
    try:
        accounts = by_account(history)
    except Unpaired as unpaired:
        account_id = (unpaired.record.key or b"").decode()
        raise Difference(unpaired.what, account_id, history, unpaired.record.at) from unpaired
    strangers = (set(history.rows) | set(history.by_account)) - set(accounts)
    for account_id in sorted(strangers):
        raise Difference("nobody opened it", account_id, history)
    for account_id, sides in accounts.items():
        _check_account(history, account_id, sides)
    pairs = [pair for sides in accounts.values() for side in sides for pair in side]
    _check_dead_letters(history, {(pair.topic, pair.record.offset): pair for pair in pairs})
    return len(pairs)


def _check_account(history: History, account_id: str, sides: Sides) -> None:
    """Raises Difference unless the auditor agrees with an order in which all may have been decided; then it tells of
    the order that it agreed with longest."""
    others: list[bool] = []
    found: list[tuple[int, Difference]] = []
    while len(found) < MOST_ORDERS:
        agreed: list[Pair] = []
        try:
            _audit(history, account_id, sides, others, agreed)
        except Difference as difference:
            found.append((len(agreed), difference))
            if not other_choice(others):
                break
        else:
            return
    raise max(found, key=lambda each: each[0])[1]


def _audit(history: History, account_id: str, sides: Sides, others: list[bool], agreed: list[Pair]) -> None:
    """One order, see `merged`; `agreed` gets what the auditor agrees with."""
    auditor, entries = Auditor(shed_after=SHED_AFTER_MS), history.by_account.get(account_id, [])
    for pair in merged(sides, Progress(auditor, account_id, entries), others):
        try:
            settled = auditor.check(pair.message, pair.reply)
            if settled is None and getattr(pair.reply, "reason", None) == "timed-out":
                same("it had waited for what it says", int(pair.reply.detail) <= pair.took_ms, True)
        except Disagreement as disagreement:
            what = f"{pair.topic} {pair.record.offset}: {disagreement}"
            raise Difference(what, account_id, history, pair.record.at) from disagreement
        agreed.append(pair)
    try:
        auditor.check_entries(account_id, entries)
        same("rows in the changelog", account_id in history.rows, True)
        Run._check_row(history.rows[account_id], entries)
        _check_time_and_holds(history.rows[account_id], auditor.books[account_id])
    except Disagreement as disagreement:
        raise Difference(str(disagreement), account_id, history) from disagreement


def _check_time_and_holds(row: bytes, book: Book) -> None:
    """The account is where its last message has put it, and no hold is left that nobody placed or somebody ended."""
    account = rows.decode(row)
    held = {reference: hold.amount for reference, hold in account.holds.items()}
    same("holds of the row", held, {reference: hold.held() for reference, hold in book.holds.items()})
    same("time of the row", account.as_of, book.latest)


def _check_dead_letters(history: History, pairs: dict[tuple[str, int], Pair]) -> None:
    letters = Counter((letter["topic"], letter["offset"]) for letter in history.dead_letters)
    inputs = {(topic, record.offset): record for topic, records in history.inputs.items() for record in records}
    for (topic, offset), record in inputs.items():
        if is_poison(record) and letters[topic, offset] != 1:
            what = f"poison at {topic} {offset} has {letters[topic, offset]} dead letters"
            raise Difference(what, None, history, record.at)
    for where, pair in pairs.items():
        if letters[where] != 1 and getattr(pair.reply, "outcome", None) in PARKED:
            what = f"{where[0]} {where[1]}, answered {pair.reply.outcome}, has {letters[where]} dead letters"
            raise Difference(what, pair.message.account_id, history, pair.record.at)
    for letter in history.dead_letters:
        where = letter["topic"], letter["offset"]
        _check_dead_letter(history, letter, inputs.get(where), pairs.get(where))


def _check_dead_letter(history: History, letter: dict[str, Any], record: Record | None, pair: Pair | None) -> None:
    if record is None:
        raise Difference(f"a dead letter of nothing: {letter}", None, history)
    kept = [None if letter[name] is None else base64.b64decode(letter[name]) for name in ("key_base64", "value_base64")]
    if kept != [record.key, record.value]:
        raise Difference(f"a dead letter that is not its record: {letter}", None, history, record.at)
    if is_from_the_future(record) and letter["reason"] != FROM_THE_FUTURE:
        raise Difference(f"from the future, and parked as {letter['reason']}: {letter}", None, history, record.at)
    if pair is None:
        return
    outcome = getattr(pair.reply, "reason", None) or pair.reply.outcome
    if letter["reason"] not in {outcome, "too-many-open-holds"}:
        what = f"{pair.topic} {record.offset} is a message, answered {outcome}, and parked as {letter['reason']}"
        raise Difference(what, pair.message.account_id, history, record.at)


def poisoned(history: History) -> int:
    """How many poison records there are."""
    return sum(is_poison(record) for records in history.inputs.values() for record in records)


def figures(history: History) -> dict[str, tuple[int, int, int]]:
    """Account -> (posted balance, open holds, last sequence) as its row says, for the comparison with the ledger."""
    found = {}
    for account_id, row in history.rows.items():
        account = rows.decode(row)
        found[account_id] = (account.posted_balance, account.open_holds(), account.sequence)
    return found
