"""What an account must still remember of what it answered, and what it may have forgotten.

Answers: those of the last 15 minutes, at most 128; the last 4 whatever their age. What moved money or changed a hold
must not do so twice: of the last 128 such messages the ids are known for good. (A request is known by its hold, its
purchase or its reversal; an opening by the account.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.auditor.agreement import Disagreement, same
from tests.support.auditor.book import Answer, Book

MOST_ANSWERS, FEWEST_ANSWERS = 128, 4
ANSWER_LIFE = 15 * 60_000
IDS_REMEMBERED = 128


def identity(message: Any) -> tuple[str, str]:
    """Requests and increments are named by the acquirer, so no two may share a name. An advice may be about a request
    of ours and then carries that request's reference."""
    if message.type in {"authorization-request", "authorization-increment"}:
        return "authorization", message.network_reference
    if message.type == "authorization-advice":
        return "advice", message.network_reference
    return "message", message.message_id


def content(message: Any) -> Any:
    return replace(message, transmitted_at=0)


def surely_remembered(book: Book, answer: Answer, now: int) -> bool:
    later = book.answers - answer.number - 1
    return later < FEWEST_ANSWERS or (later < MOST_ANSWERS and now - answer.at < ANSWER_LIFE)


def remember(book: Book, message: Any, reply: Any, now: int) -> None:
    """`message` has just been taken into the books with this answer."""
    known = message.type not in {"authorization-request", "account-opened"}
    moved = known and bool(book.journal and book.journal[-1])
    answer = Answer(content(message), reply, now, book.answers, book.known if known else None, moved)
    book.answered[identity(message)] = answer
    book.answers += 1
    book.known += known


def settled(book: Book, message: Any, reply: Any, now: int) -> str | None:
    """How `reply` settles a repeat without another look at the account: as a `repeat`, a `duplicate` or a `conflict`;
    None when it is decided anew. Raises Disagreement if it should have settled it, or calls something a repeat that
    is not."""
    answer = book.answered.get(identity(message))
    given = getattr(reply, "reason", None) or reply.outcome
    if answer is None and _named_like_a_hold(book, message, now):
        same("an increment under the reference of a hold", given, "conflicting-duplicate")
        return "conflict"
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
    if _named_like_a_hold(book, message, now) and given == "conflicting-duplicate":
        return "conflict"
    return "duplicate" if _known_by_its_id(book, answer, message, given) else None


def _named_like_a_hold(book: Book, message: Any, now: int) -> bool:
    return message.type == "authorization-increment" and book.open_hold(message.network_reference, now) is not None


def _known_by_its_id(book: Book, answer: Answer, message: Any, given: str) -> bool:
    """Whether an answer that may be forgotten was given as to a message of which only the id is known."""
    if answer.known is None or answer.content.type != message.type:
        return False
    name = "stale-duplicate" if message.type == "authorization-increment" else "duplicate"
    if answer.moved and book.known - answer.known <= IDS_REMEMBERED:
        same("a repeat whose answer was forgotten", given, name)
    return given == name


def request_known(book: Book, reference: str, now: int) -> bool | None:
    """Whether what was decided or presented under this reference is in the account's memory; None: perhaps."""
    if book.purchase(reference) is not None:
        return True
    kinds = ("authorization", "advice")
    answers = [book.answered[kind, reference] for kind in kinds if (kind, reference) in book.answered]
    if any(surely_remembered(book, answer, now) for answer in answers):
        return True
    return None if answers or reference in book.placed else False
