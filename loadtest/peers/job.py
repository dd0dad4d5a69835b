"""The minimal authorisation job: one row per account, decide, remember the answer, write row and decision.

    request     {"request_id", "account_id", "amount"}                      JSON, keyed by account id
    row         {"limit", "held", "answers": {request id: answer}}          JSON, keyed by account id
    decision    {"request_id", "account_id", "approved", "open_to_buy"}     JSON, keyed by account id

A request is approved if its amount fits into what is left of the limit. The last `KEPT` answers of an account are
remembered, and a repeated request gets the remembered answer: it changes no row. Amounts are integer minor units.
"""

from __future__ import annotations

from typing import Final

import msgspec

LIMIT: Final = 1_000_000
"""Credit limit of an account when its first request comes, in minor units."""

KEPT: Final = 16
"""Answers remembered for each account."""


class Request(msgspec.Struct, gc=False):
    """A request to authorise an amount."""

    request_id: str
    account_id: str
    amount: int


class Answer(msgspec.Struct, gc=False):
    """What was answered: approved or not, and what was left to spend after it."""

    approved: bool
    open_to_buy: int


class Decision(msgspec.Struct, gc=False):
    """An answer, addressed."""

    request_id: str
    account_id: str
    approved: bool
    open_to_buy: int


class Row(msgspec.Struct, gc=False):
    """Everything remembered of an account; answers are in the order they were given."""

    limit: int = LIMIT
    held: int = 0
    answers: dict[str, Answer] = {}


def answer(row: Row, request: Request) -> tuple[Answer, bool]:
    """(the answer, whether the row changed). A repeat is answered alike and changes nothing."""
    known = row.answers.get(request.request_id)
    if known is not None:
        return known, False
    approved = request.amount <= row.limit - row.held
    if approved:
        row.held += request.amount
    given = row.answers[request.request_id] = Answer(approved, row.limit - row.held)
    if len(row.answers) > KEPT:
        del row.answers[next(iter(row.answers))]
    return given, True


def addressed(request: Request, given: Answer) -> Decision:
    """The answer as the decision that is sent."""
    return Decision(request.request_id, request.account_id, given.approved, given.open_to_buy)
