"""Two real engines that get the same messages, one in slices and one message by message, and the auditor over them.

What must hold after every slice:

1.  The auditor (tests/support/auditor) agrees with every reply and every journal entry.
2.  Open-to-buy = credit limit - posted balance - holds that have not ended, in the row as in the auditor's books.
3.  Nothing held appears or vanishes: placed + increased = held + released + reduced + consumed + expired.
4.  Every journal entry balances; the sequences of an account are 1, 2, 3 ... without a gap.
5.  Of no purchase more comes back than was presented: refunded + net charged back <= presented.
6.  A reversal that came before its authorisation leaves no hold.
7.  A repeat gets an equal reply and writes nothing.
8.  What needs a person's eye is in the dead letters once, whole, under the name of its outcome.
9.  One slice or many: both engines give the same replies, write the same entries and keep the same rows, byte for byte.
10. A request decided without a score is scored later, once.

A disagreement carries the story so far: what was said, and what the engine answered.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agents.attempt import TOPIC_ORDER
from agents.scoring import Model
from models.authorization import Policy
from models.messages import (
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationDecision,
    ClockTick,
    JournalEntry,
    Posting,
    ReversalAcknowledgement,
)
from tests.support import messages as say
from tests.support.auditor import Auditor, Disagreement, same
from tests.support.auditor.book import ON_A_HOLD
from tests.support.auditor.holds import meant
from tests.support.engine import Bench
from topics import codec
from topics.codec import TOPIC_OF_TYPE

ACCOUNT = "acct-1"
LINES = 60
REPLIES: dict[str, type] = {
    "authorization-decision": AuthorizationDecision,
    "advice-acknowledgement": AdviceAcknowledgement,
    "reversal-acknowledgement": ReversalAcknowledgement,
    "account-update": AccountUpdate,
}
FOR_A_PERSON: dict[str, set[str]] = {  # outcomes that are parked, by the type of the reply
    "authorization-decision": set(),  # a decline is an answer
    "reversal-acknowledgement": {"conflicting-duplicate", "unknown-account"},
    "advice-acknowledgement": {
        "conflicting-duplicate",
        "unknown-account",
        "currency-mismatch",
        "too-many-open-holds",
    },
    "account-update": {
        "conflicting-duplicate",
        "unknown-account",
        "account-exists",
        "unknown-card",
        "currency-mismatch",
        "posted-ambiguous",
        "partly-suspended",
        "suspended",
        "unknown-purchase",
        "illegal-dispute-stage",
        "amount-exceeds-purchase",
        "illegal-status-change",
        "invalid-controls",
    },
}


class Audited:
    """`codes`: the approval codes given, by network reference. Raises Disagreement at the first thing that is wrong."""

    def __init__(self, policy: Policy, model: Model | None = None) -> None:
        self.at_once, self.one_by_one = Bench(model, policy), Bench(model, policy)
        self.auditor = Auditor(policy.hold_ms, policy.fraud_cut_ppm, policy.stand_in_limit, policy.shed_after_ms)
        self.codes: dict[str, str] = {}
        self.log: list[str] = []
        self._of_purchase: dict[str, str] = {}  # message id -> the purchase its entries are about
        self._stood_in: set[str] = set()

    def slice(self, *messages: Any, waited_ms: int = 0) -> list[Any]:
        """Decide all as one slice, which came at once; returns the replies in the order in which they are decided."""
        order = {topic: number for number, topic in enumerate(TOPIC_ORDER)}
        decided = sorted(messages, key=lambda message: order[TOPIC_OF_TYPE[message.type]])
        before = len(self.at_once.sent)
        at = max(message.transmitted_at for message in decided)
        together = _replies(self.at_once.run(*decided, at=at, waited_ms=waited_ms))
        each = [sent for message in decided for sent in self.one_by_one.run(message, at=at, waited_ms=waited_ms)]
        same("replies of one slice and of many", together, _replies(each))
        replies = _in_order(decided, together)
        parked = [letter for pair in zip(decided, replies, strict=True) for letter in self._take(*pair)]
        _check_dead_letters(parked, self.at_once.sent[before:])
        self._check()
        return replies

    def sweep(self, tick: ClockTick) -> None:
        """A tick of the clock, in a slice of its own."""
        self.log.append(f"    {short(tick)}")
        if ACCOUNT in self.auditor.books:
            self.auditor.tick(ACCOUNT, tick.transmitted_at)
        self.at_once.run(tick)
        self.one_by_one.run(tick)
        self._check()

    def _take(self, message: Any, reply: Any) -> list[tuple[str, bytes]]:
        """Audit one reply; returns what must have been parked because of it."""
        self.log += [f"    {short(message)}", f" -> {short(reply)}"]
        try:
            settled = self.auditor.check(message, reply)
        except Disagreement as disagreement:
            raise self._told(disagreement) from disagreement
        if isinstance(reply, AuthorizationDecision):
            self.codes |= {reply.network_reference: reply.approval_code} if reply.approval_code else {}
            self._stood_in |= {reply.network_reference} if reply.stand_in else set()
        elif isinstance(reply, AccountUpdate) and settled is None:
            about = getattr(message, "network_reference", None) or getattr(message, "original_reference", None)
            self._of_purchase[message.message_id] = "" if reply.outcome == "posted-unlinked" else about or ""
        reason = "too-many-open-holds" if self._no_room(message, reply) else reply.outcome
        if settled in {"repeat", "duplicate"} or reason not in FOR_A_PERSON[reply.type]:
            return []
        return [(reason, codec.encode(message))]

    def _no_room(self, message: Any, reply: Any) -> bool:
        """Whether a hold that the network approved found 200 others."""
        if not isinstance(reply, AdviceAcknowledgement) or reply.outcome != "noted" or not message.approved:
            return False
        book, now = self.auditor.books[message.account_id], reply.decided_at
        early = book.reversed_early(meant(message), now)
        return message.amount > 0 and not early and not book.has_room_for_hold(now)

    def _told(self, disagreement: Disagreement) -> Disagreement:
        """With the end of the story."""
        return Disagreement("\n".join(["", *self.log[-LINES:], str(disagreement)]))

    # -- what must hold between slices

    def _check(self) -> None:
        same("rows of one slice and of many", self.at_once.rows, self.one_by_one.rows)
        if ACCOUNT not in self.auditor.books:
            return
        entries = _journal(self.at_once)
        try:
            self.auditor.check_entries(ACCOUNT, entries)
            self._check_open_to_buy()
            self._check_holds(entries)
            self._check_purchases(entries)
            self._check_late_scores()
        except Disagreement as disagreement:
            raise self._told(disagreement) from disagreement

    def _check_open_to_buy(self) -> None:
        row, book = self.at_once.account(ACCOUNT), self.auditor.books[ACCOUNT]
        for now in (row.as_of, row.as_of + say.DAY, row.as_of + 8 * say.DAY):
            live = sum(hold.amount for hold in row.holds.values() if now < hold.expires_at)
            same("open-to-buy of the row", row.open_to_buy(now), row.credit_limit - row.posted_balance - live)
            same("open-to-buy of the books", row.open_to_buy(now), book.open_to_buy(now))

    def _check_holds(self, entries: list[JournalEntry]) -> None:
        row, book = self.at_once.account(ACCOUNT), self.auditor.books[ACCOUNT]
        moved = sum(ON_A_HOLD.get(entry.entry_type, 0) * _amount(entry) for entry in entries)
        same("holds in the row and in the journal", sum(hold.amount for hold in row.holds.values()), moved)
        held = {reference: (hold.held(), hold.ends_at) for reference, hold in book.holds.items()}
        same("holds", {key: (hold.amount, hold.expires_at) for key, hold in row.holds.items()}, held)
        early = [each for each in book.early if book.reversed_early(each, book.latest)]
        same("holds of what was reversed before it came", [each for each in early if each in row.holds], [])

    def _check_purchases(self, entries: list[JournalEntry]) -> None:
        presented: Counter[str] = Counter()
        returned: Counter[str] = Counter()
        for entry in entries:
            purchase, amount = self._of_purchase.get(entry.cause, ""), _amount(entry)
            if entry.entry_type in {"presentment-posted", "cash-advance-posted"}:
                presented[purchase] += amount
            elif entry.entry_type in {"refund-posted", "chargeback-credited"}:
                returned[purchase] += amount
            elif entry.entry_type == "chargeback-reversed":
                returned[purchase] -= amount
        over = {each for each in presented if each and returned[each] > presented[each]}
        same("purchases of which more came back than was presented", over, set())

    def _check_late_scores(self) -> None:
        late = [score["network_reference"] for score in self.at_once.on("fraud-scores")]
        same("scored late twice", [each for each, times in Counter(late).items() if times > 1], [])
        same("scored late and not decided without a score", set(late) - self._stood_in, set())


def _replies(sent: list[dict[str, Any]]) -> list[Any]:
    """The replies among the records sent, those on account-updates first, as their messages are decided."""
    found = [REPLIES[body["type"]](**body) for body in sent if body["type"] in REPLIES]
    return sorted(found, key=lambda reply: not isinstance(reply, AccountUpdate))


def _in_order(messages: Sequence[Any], replies: list[Any]) -> list[Any]:
    """`replies` in the order of `messages`: each topic's replies come in the order of its messages."""
    updates = iter([reply for reply in replies if isinstance(reply, AccountUpdate)])
    decisions = iter([reply for reply in replies if not isinstance(reply, AccountUpdate)])
    same("number of replies", len(replies), len(messages))
    return [next(decisions if TOPIC_OF_TYPE[each.type] == "authorizations" else updates) for each in messages]


def _check_dead_letters(parked: list[tuple[str, bytes]], sent: list[tuple[str, dict[str, Any]]]) -> None:
    letters = [body for topic, body in sent if topic == "dead-letters"]
    found = [(body["reason"], base64.b64decode(body["value_base64"])) for body in letters]
    same("dead letters", sorted(found), sorted(parked))


def _journal(bench: Bench) -> list[JournalEntry]:
    entries = []
    for body in bench.on("journal-entries"):
        postings = [Posting(**posting) for posting in body["postings"]]
        entries.append(JournalEntry(**(body | {"postings": postings})))
    return entries


def _amount(entry: JournalEntry) -> int:
    return max(posting.amount for posting in entry.postings)


def short(said: Any) -> str:
    """One line, without what is the same in every story."""
    dull = {"type", "version", "account_id", "merchant_name", "merchant_country", "card_expiry", "model_version"}
    names = [name for name in said.__slots__ if name not in dull and getattr(said, name) not in (None, [], "", False)]
    return f"{said.type}: " + ", ".join(f"{name}={getattr(said, name)}" for name in names)
