"""Pairs every input of one partition with its reply, and puts each account's pairs into the order they were decided in.

Replies come in the order of their inputs, topic by topic; between topics there is no order that Kafka knows. What
is known: a reply says the account's time when it was decided, which is the message's own time or, if something later
had been decided before, the time of that. So it never runs backwards, and of several pairs with the same time one whose
message names it came first; only a refusal that leaves no trace on the account leaves its time as it was, too. Where
this leaves a choice, the figures in the replies help, and the journal, which is one sequence. What is left then is
tried, the likely order first: the broker says when it took the replies, but a backlog's come with the transaction of
several slices, the updates of all before the decisions of all; see `merged`.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final, NamedTuple, Protocol

import orjson

from tests.chaos.campaign.history import DECISIONS, INPUTS, MAX_FUTURE_MS, UPDATES, History, Record, message
from tests.chaos.campaign.story import POISON_KEY
from tests.support.checker import REPLIES

AWAITED: Final = ("authorization-request", "authorization-increment")
"""Types for whose decision somebody waits."""
ENTRIES_OF_AN_UPDATE: Final = 3
"""A presentment writes down what becomes of its hold (two entries at most) and itself."""
REFUSALS: Final = frozenset(
    {
        "stale-duplicate", "conflicting-duplicate", "duplicate", "currency-mismatch", "unknown-account",
        "unknown-purchase", "illegal-dispute-stage", "amount-exceeds-purchase",
    }
)  # fmt: skip
"""What a reply says when its message has left the account as it was, its time included."""
ARRIVE_TOGETHER_MS: Final = 5
"""A slice's batches are one request to a broker, as a rule."""
STAMP: Final = re.compile(rb'"transmitted_at":(\d+)')


class Pair(NamedTuple):
    """A message and its reply; `topic` and `record` are the input's. `took_ms`: from one record to the other."""

    topic: str
    record: Record
    message: Any
    reply: Any
    took_ms: int

    @property
    def answered_at(self) -> int:
        """When the broker took the reply, in milliseconds."""
        return self.record.at + self.took_ms


class Unpaired(AssertionError):
    """A message without a reply, a reply without a message, or replies in another order than their messages."""

    def __init__(self, what: str, record: Record) -> None:
        super().__init__(what)
        self.what = what
        self.record = record


Sides = tuple[list[Pair], list[Pair]]
"""An account's updates and its decisions, each in the order they were decided in."""


def by_account(history: History) -> dict[str, Sides]:
    """Every account's pairs; raises Unpaired at the first input or reply that is in none."""
    found: dict[str, Sides] = defaultdict(lambda: ([], []))
    for pair in _updates(history):
        found[pair.message.account_id][0].append(pair)
    for pair in _decisions(history):
        found[pair.message.account_id][1].append(pair)
    return found


def is_poison(record: Record) -> bool:
    """Whether it must end in the dead letters, unanswered. The codec under test is not asked."""
    return (record.key or b"").startswith(POISON_KEY) or is_from_the_future(record)


def is_from_the_future(record: Record) -> bool:
    """Whether its message is dated too far ahead of the broker's time on the record."""
    stamp = STAMP.search(record.value or b"")
    return stamp is not None and int(stamp[1]) > record.at + MAX_FUTURE_MS


def _messages(history: History, topic: str) -> Iterator[Record]:
    return (record for record in history.inputs[topic] if not is_poison(record))


def _reply(record: Record) -> Any:
    body = orjson.loads(record.value or b"")
    return REPLIES[body["type"]](**body)


def _decisions(history: History) -> Iterator[Pair]:
    """One input topic, one reply topic: the n-th reply is to the n-th message. The auditor compares what they name."""
    [topic] = [topic for topic, replies in INPUTS.items() if replies == DECISIONS]
    questions = (record for record in history.inputs[topic] if not is_poison(record) or _is_refused_request(record))
    for question, answer in zip_longest(questions, history.replies[DECISIONS]):
        if question is None:
            raise Unpaired(f"a reply too many: {answer.value!r}", answer)
        if answer is None:
            raise Unpaired(f"no reply to {topic} {question.offset}", question)
        if _is_refused_request(question):
            _check_refusal(topic, question, answer)
            continue
        if question.key != answer.key:
            raise Unpaired(f"the reply to {topic} {question.offset} is not there: {answer.value!r}", question)
        yield Pair(topic, question, message(topic, question), _reply(answer), answer.at - question.at)


def _is_refused_request(record: Record) -> bool:
    """A request from the future is parked as any message from the future; since somebody waits, it is declined too."""
    return is_from_the_future(record) and is_awaited(record)


def is_awaited(record: Record) -> bool:
    """Whether somebody waits for the decision on this message."""
    return orjson.loads(record.value or b"")["type"] in AWAITED


def reference(record: Record) -> str:
    """The identity of a request or increment, also in its decision."""
    return str(orjson.loads(record.value or b"").get("network_reference"))


def _check_refusal(topic: str, question: Record, answer: Record) -> None:
    asked, told = orjson.loads(question.value or b""), orjson.loads(answer.value or b"")
    expected = {name: asked[name] for name in ("account_id", "network_reference")} | {
        "outcome": "declined", "reason": "malformed", "approved_amount": 0, "decided_at": question.at,
    }  # fmt: skip
    if {name: told[name] for name in expected} != expected:
        raise Unpaired(f"{topic} {question.offset} is from the future and was answered {told}", question)


def _updates(history: History) -> Iterator[Pair]:
    """Several input topics, one reply topic: each reply is to the next message of one of them, and names it."""
    waiting = {
        topic: deque((record, message(topic, record)) for record in _messages(history, topic))
        for topic, replies in INPUTS.items()
        if replies == UPDATES
    }
    for answer in history.replies[UPDATES]:
        reply = _reply(answer)
        for topic, left in waiting.items():
            if left and left[0][1].message_id == reply.message_id:
                question, asked = left.popleft()
                yield Pair(topic, question, asked, reply, answer.at - question.at)
                break
        else:
            raise Unpaired(f"a reply to nothing that comes next: {answer.value!r}", answer)
    for topic, left in waiting.items():
        for record, _message in left:
            raise Unpaired(f"no reply to {topic} {record.offset}", record)


class Progress(Protocol):
    """How far the account has come with the pairs that `merged` has given."""

    def repeats(self, pair: Pair) -> bool:
        """Whether it was answered before, and its reply is that answer: it changes nothing, whenever it comes."""

    def fits(self, pair: Pair) -> bool:
        """Whether time and open-to-buy, as far as its reply tells what they were before it, are the account's now."""

    def causes_left(self) -> list[str]:
        """What caused the journal entries that the pairs given so far do not explain, in order."""


def merged(sides: Sides, progress: Progress, others: list[bool]) -> Iterator[Pair]:
    """An account's pairs in an order in which they may have been decided.

    `others` says for every choice that is left open (a decision that wrote nothing may have come before or after an
    update) whether the less likely is taken; it is extended by False for every choice that it does not have yet.
    """
    updates, decisions = map(deque, sides)
    choices = 0
    while updates and decisions:
        update, decision = updates[0], decisions[0]
        first = _known_first(update, decision, progress)
        if first is None:
            if choices == len(others):
                others.append(False)
            likely = decision if _is_likely_first(decision, update) else update
            first = likely if not others[choices] else decision if likely is update else update
            choices += 1
        yield (updates if first is update else decisions).popleft()
    yield from updates
    yield from decisions


def other_choice(others: list[bool]) -> bool:
    """Change the last choice that can be changed; False when all have been made."""
    while others and others[-1]:
        others.pop()
    if others:
        others[-1] = True
    return bool(others)


def _known_first(update: Pair, decision: Pair, progress: Progress) -> Pair | None:
    """Which comes first, None: either may. The time in a reply that left no trace says only what came before it."""
    for pair in (update, decision):
        if progress.repeats(pair):
            return pair
    times = update.reply.decided_at, decision.reply.decided_at
    if times[0] != times[1] and not (_leaves_no_trace(update) or _leaves_no_trace(decision)):
        return update if times[0] < times[1] else decision
    fitting = [pair for pair in (update, decision) if progress.fits(pair)]
    return fitting[0] if len(fitting) == 1 else _by_journal(progress.causes_left(), update, decision)


def _is_likely_first(decision: Pair, update: Pair) -> bool:
    """As the broker took the replies. Those of one slice are taken together, and it decides its updates first."""
    later = update.answered_at - decision.answered_at
    if later > ARRIVE_TOGETHER_MS:
        return True
    return later > 0 and _leaves_no_trace(decision) and not _leaves_no_trace(update)


def _leaves_no_trace(pair: Pair) -> bool:
    return (getattr(pair.reply, "reason", None) or getattr(pair.reply, "outcome", None)) in REFUSALS


def _by_journal(left: list[str], update: Pair, decision: Pair) -> Pair | None:
    """An update that has yet to write an entry in its own name comes after all that must be written before. One that
    writes none (a dispute that is refused, arbitration won) may come at any time."""
    if update.message.message_id not in left:
        return None
    is_next = update.message.message_id in left[:ENTRIES_OF_AN_UPDATE] and left[0] != _name(decision)
    return None if is_next else decision


def _name(pair: Pair) -> str:
    """Under which its journal entries are written."""
    return str(getattr(pair.message, "message_id", None) or pair.message.network_reference)
