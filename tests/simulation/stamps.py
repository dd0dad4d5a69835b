"""Replies that say when they were decided: a slice's number before the content of each.

Decisions are in the log when they are released, what else a slice comes to when it is committed, together with others:
no log tells in which order all of it was decided.
"""

from __future__ import annotations

from topics.declarations import ACCOUNT_UPDATES, AUTHORIZATION_DECISIONS

REPLIES = (ACCOUNT_UPDATES.name, AUTHORIZATION_DECISIONS.name)
"""Within a slice the engine decides in this order"""
_DIGITS = 6


def stamp(number: int, content: bytes) -> bytes:
    return b"%0*d" % (_DIGITS, number) + content


def number_of(stamped: bytes | None) -> int:
    return int((stamped or b"")[:_DIGITS])


def content_of(stamped: bytes | None) -> bytes:
    return (stamped or b"")[_DIGITS:]
