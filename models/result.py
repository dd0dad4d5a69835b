"""What a domain function hands back: the reply, the journal entries, and whether the row changed."""

from __future__ import annotations

from typing import NamedTuple

from models.messages import AccountUpdate, AuthorizationDecision, JournalEntry, ReversalAcknowledgement

Reply = AuthorizationDecision | ReversalAcknowledgement | AccountUpdate


class Result(NamedTuple):
    reply: Reply
    entries: list[JournalEntry]
    changed: bool  # False: the row is as it was (a replay, a rejection that leaves no trace)
    parked: str | None = None  # a named reason why the record must be kept in `dead-letters` as well
