"""What a domain function hands back: the reply, the journal entries, and whether the row changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.messages import (
    AccountUpdate,
    AdviceAcknowledgement,
    AuthorizationDecision,
    JournalEntry,
    ReversalAcknowledgement,
)

if TYPE_CHECKING:
    from models.account import Account

Reply = AuthorizationDecision | AdviceAcknowledgement | ReversalAcknowledgement | AccountUpdate


class Result(NamedTuple):
    reply: Reply
    entries: list[JournalEntry]
    changed: bool  # False: the row is as it was (a replay, a rejection that leaves no trace)
    parked: str | None = None  # a named reason why the record must be kept in `dead-letters` as well
    opened: Account | None = None  # the account that starts to exist with this message
