"""What an account must still remember of what it answered, and what it may have forgotten.

Answers: those of the last 15 minutes, at most 128; the last 4 whatever their age. Postings: the last 128 ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.auditor.agreement import Disagreement, same
from tests.support.auditor.book import Answer, Book

MOST_ANSWERS, FEWEST_ANSWERS = 128, 4
ANSWER_LIFE = 15 * 60_000
POSTINGS = {"presentment", "payment-received", "refund", "dispute-event"}
POSTINGS_REMEMBERED = 128
BY_NETWORK_REFERENCE = {"authorization-request", "authorization-increment", "authorization-advice"}


def identity(message: Any) -> tuple[str, str]:
    """An advice about a request of ours may carry the request's reference: their types keep them apart."""
    if message.type in BY_NETWORK_REFERENCE:
        return message.type, message.network_reference
    return "message", message.message_id


def content(message: Any) -> Any:
    return replace(message, transmitted_at=0)


def surely_remembered(book: Book, answer: Answer, now: int) -> bool:
    later = book.answers - answer.number - 1
    return later < FEWEST_ANSWERS or (later < MOST_ANSWERS and now - answer.at < ANSWER_LIFE)


def remember(book: Book, message: Any, reply: Any, now: int) -> None:
    posting = None
    if message.type in POSTINGS:
        posting = book.postings
        book.postings += 1
    book.answered[identity(message)] = Answer(content(message), reply, now, book.answers, posting)
    book.answers += 1


def settled(book: Book, message: Any, reply: Any, now: int) -> bool:
    """Whether `reply` answers a repeat from memory, which changes nothing. Raises Disagreement if it should and does
    not, or calls something a repeat that is not."""
    answer = book.answered.get(identity(message))
    given = getattr(reply, "reason", None) or reply.outcome
    if answer is None:
        _same_name(given)
        return False
    if answer.content == content(message):
        if reply == answer.reply:
            return True
        verdict = "a repeat is answered with the first answer"
    else:
        if given == "conflicting-duplicate":
            return True
        verdict = "other content under the same identity is a conflicting-duplicate"
    if surely_remembered(book, answer, now):
        raise Disagreement(f"{verdict}: engine {reply!r}, auditor {answer.reply!r}")
    return _known_by_its_id(book, answer, given)


def _known_by_its_id(book: Book, answer: Answer, given: str) -> bool:
    """The answer may be forgotten; a posting's id is not, for 128 postings."""
    remembered = answer.posting is not None and book.postings - answer.posting <= POSTINGS_REMEMBERED
    if remembered:
        same("a posting repeated after its answer was forgotten", given, "duplicate")
    return given == "duplicate" and answer.posting is not None


def _same_name(given: str) -> None:
    if given in {"duplicate", "conflicting-duplicate"}:
        raise Disagreement(f"engine {given!r}, auditor never saw this identity")


def request_known(book: Book, reference: str, now: int) -> bool | None:
    """Whether a request or an advice of this reference is in the account's memory; None when it may be forgotten."""
    kinds = ("authorization-request", "authorization-advice")
    answers = [book.answered[kind, reference] for kind in kinds if (kind, reference) in book.answered]
    if any(surely_remembered(book, answer, now) for answer in answers):
        return True
    return None if answers else False
