"""Pairs every input of one partition with its reply, and puts each account's pairs into the order they were decided in.

Replies come in the order of their inputs, topic by topic; between topics there is no order that Kafka knows. What
is known: a reply says the account's time when it was decided, which is the message's own time or, if something later
had been decided before, the time of that. So it never runs backwards, and of several pairs with the same time the one
whose message names it came first. Where this leaves a choice, the journal helps, which is one sequence; see `merged`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import orjson

from tests.chaos.campaign.history import DECISIONS, INPUTS, UPDATES, History, Record, message
from tests.chaos.campaign.story import POISON_KEY
from tests.support.checker import REPLIES

ENTRIES_OF_AN_UPDATE: Final = 3
"""A presentment writes down what becomes of its hold (two entries at most) and itself."""


class Pair(NamedTuple):
    """A message and its reply; `topic` and `record` are the input's. `took_ms`: from one record to the other."""

    topic: str
    record: Record
    message: Any
    reply: Any
    took_ms: int


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
    """Told by its key: the codec under test is not asked."""
    return (record.key or b"").startswith(POISON_KEY)


def _messages(history: History, topic: str) -> Iterator[Record]:
    return (record for record in history.inputs[topic] if not is_poison(record))


def _reply(record: Record) -> Any:
    body = orjson.loads(record.value or b"")
    return REPLIES[body["type"]](**body)


def _decisions(history: History) -> Iterator[Pair]:
    """One input topic, one reply topic: the n-th reply is to the n-th message. The auditor compares what they name."""
    [topic] = [topic for topic, replies in INPUTS.items() if replies == DECISIONS]
    for question, answer in zip_longest(_messages(history, topic), history.replies[DECISIONS]):
        if question is None:
            raise Unpaired(f"a reply too many: {answer.value!r}", answer)
        if answer is None:
            raise Unpaired(f"no reply to {topic} {question.offset}", question)
        if question.key != answer.key:
            raise Unpaired(f"the reply to {topic} {question.offset} is not there: {answer.value!r}", question)
        yield Pair(topic, question, message(topic, question), _reply(answer), answer.at - question.at)


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


def merged(sides: Sides, next_causes: Callable[[], list[str]], decisions_first: list[bool]) -> Iterator[Pair]:
    """An account's pairs in an order in which they may have been decided.

    `next_causes`: what caused the next ENTRIES_OF_AN_UPDATE journal entries that the pairs given so far do not explain.
    Every update wrote one in its own name, so as long as that is not among them, a decision came first.
    `decisions_first` holds the choices that even this leaves open (a decision that wrote nothing may have come before
    or after the update); it is extended by False for every choice that it does not have yet.
    """
    updates, decisions = map(deque, sides)
    open_choices, before = 0, None
    while updates and decisions:
        first = _first(updates[0], decisions[0])
        if first is None and updates[0].message.message_id not in next_causes():
            first = decisions[0]
        if first is None:
            first = _by_open_to_buy(before, updates[0], decisions[0])
        if first is None:
            if open_choices == len(decisions_first):
                decisions_first.append(False)
            first = decisions[0] if decisions_first[open_choices] else updates[0]
            open_choices += 1
        before = (updates if first is updates[0] else decisions).popleft()
        yield before
    yield from updates
    yield from decisions


def other_choice(decisions_first: list[bool]) -> bool:
    """Change the last choice that can be changed; False when all have been made."""
    while decisions_first and decisions_first[-1]:
        decisions_first.pop()
    if decisions_first:
        decisions_first[-1] = True
    return bool(decisions_first)


def _by_open_to_buy(before: Pair | None, update: Pair, decision: Pair) -> Pair | None:
    """A request that was declined leaves the open-to-buy as it was, and its reply says what it was. So of the many of
    one time behind an outage it is known which came before an update that changes it: too many orders to try them."""
    if before is None or getattr(decision.reply, "outcome", None) != "declined":
        return None
    unchanged = decision.reply.open_to_buy == before.reply.open_to_buy != update.reply.open_to_buy
    return decision if unchanged and decision.reply.decided_at == before.reply.decided_at else None


def _first(update: Pair, decision: Pair) -> Pair | None:
    """Which was decided first, None: either may have been."""
    if update.reply.decided_at != decision.reply.decided_at:
        return update if update.reply.decided_at < decision.reply.decided_at else decision
    named = [pair for pair in (update, decision) if pair.message.transmitted_at == pair.reply.decided_at]
    return named[0] if len(named) == 1 else None
