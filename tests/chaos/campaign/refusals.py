"""Messages that the engine could read and did not decide: a bug, wherever it is. Each is found, and the rest of the
history is checked as if they had never been sent."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from tests.chaos.campaign.history import DECISIONS, History, Record
from tests.chaos.campaign.pairing import is_awaited, is_poison, reference

REFUSED: Final = "processing-error"
"""The engine's word for them in the dead letters."""
MALFUNCTION: Final = "system-malfunction"
"""Its word to whoever waits for a decision on one."""


class Finding(NamedTuple):
    """Something that is not right. `at`: when the input behind it came (milliseconds), if there is one."""

    what: str
    at: int | None


def refusals(history: History) -> tuple[list[Finding], History]:
    """What was refused, or refused and not declined though somebody waits; and the history without it."""
    letters = {(letter["topic"], letter["offset"]) for letter in history.dead_letters if letter["reason"] == REFUSED}
    refused = {
        (topic, record.offset): record
        for topic, records in history.inputs.items()
        for record in records
        if (topic, record.offset) in letters and not is_poison(record)
    }
    awaited = {reference(record): record for record in refused.values() if is_awaited(record)}
    declines = _declines(history, awaited)
    found = [
        Finding(f"{topic} {offset} is a message and was refused: {record.value!r}", record.at)
        for (topic, offset), record in refused.items()
    ]
    found += [
        Finding(f"{name} was refused, but not declined: {record.value!r}", record.at)
        for name, record in awaited.items()
        if name not in declines
    ]
    return found, _without(history, refused, declines)


def _declines(history: History, awaited: Mapping[str, Record]) -> dict[str, Record]:
    """The decisions that say so, by the reference of what was refused."""
    if not awaited:  # nearly always: no decision has to be read for it
        return {}
    return {
        reference(reply): reply
        for reply in history.replies[DECISIONS]
        if reference(reply) in awaited and orjson.loads(reply.value or b"").get("reason") == MALFUNCTION
    }


def _without(history: History, refused: Container[tuple[str, int]], declines: Mapping[str, Record]) -> History:
    """As if what was refused had never been sent, nor declined."""
    inputs = {
        topic: [record for record in records if is_poison(record) or (topic, record.offset) not in refused]
        for topic, records in history.inputs.items()
    }
    gone = [*declines.values()]
    replies = {topic: [reply for reply in sent if reply not in gone] for topic, sent in history.replies.items()}
    letters = [letter for letter in history.dead_letters if letter["reason"] != REFUSED]
    return replace(history, inputs=inputs, replies=replies, dead_letters=letters)
