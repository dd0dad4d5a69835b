"""What an account must still remember of what it answered, and what it may have forgotten.

Answers: those of the last 15 minutes, at most 128; the last 4 whatever their age. What is answered by an
account-update has an effect that must not come twice: of the last 128 of these the ids are known for good (an opening
needs none, the account is its own proof).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.messages import AccountUpdate
from tests.support.auditor.agreement import Disagreement, same
from tests.support.auditor.book import Answer, Book

MOST_ANSWERS, FEWEST_ANSWERS = 128, 4
ANSWER_LIFE = 15 * 60_000
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
    if isinstance(reply, AccountUpdate) and message.type != "account-opened":
        posting = book.postings
        book.postings += 1
    book.answered[identity(message)] = Answer(content(message), reply, now, book.answers, posting)
    book.answers += 1


def settled(book: Book, message: Any, reply: Any, now: int) -> str | None:
    """How `reply` settles a repeat without another look at the account: as a `repeat`, a `duplicate` or a `conflict`;
    None when it is decided anew. Raises Disagreement if it should have settled it, or calls something a repeat that
    is not."""
    answer = book.answered.get(identity(message))
    given = getattr(reply, "reason", None) or reply.outcome
    if answer is None:
        if given in {"duplicate", "conflicting-duplicate"}:
            raise Disagreement(f"engine {given!r}, auditor never saw {identity(message)}")
        return None
    if answer.content == content(message):
        if reply == answer.reply:
            return "repeat"
        verdict = "a repeat is answered with the first answer"
    else:
        if given == "conflicting-duplicate":
            return "conflict"
        verdict = "other content under the same identity is a conflicting-duplicate"
    if surely_remembered(book, answer, now):
        raise Disagreement(f"{verdict}: engine {reply!r}, auditor {answer.reply!r}")
    return "duplicate" if _known_by_its_id(book, answer, given) else None


def _known_by_its_id(book: Book, answer: Answer, given: str) -> bool:
    """The answer may be forgotten; a posting's id is not, for 128 postings."""
    remembered = answer.posting is not None and book.postings - answer.posting <= POSTINGS_REMEMBERED
    if remembered:
        same("a posting repeated after its answer was forgotten", given, "duplicate")
    return given == "duplicate" and answer.posting is not None


def request_known(book: Book, reference: str, now: int) -> bool | None:
    """Whether what was decided or presented under this reference is in the account's memory; None: perhaps."""
    if book.purchase(reference) is not None:
        return True
    kinds = ("authorization-request", "authorization-advice")
    answers = [book.answered[kind, reference] for kind in kinds if (kind, reference) in book.answered]
    if any(surely_remembered(book, answer, now) for answer in answers):
        return True
    return None if answers or reference in book.placed else False
