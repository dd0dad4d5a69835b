"""What is sent: chapters of `tests.support.story`, each with accounts of its own; the money that follows; and poison
among them.

An account's limit is used up after some hundred requests and everything is declined from then on; so every chapter
begins with fresh accounts. They are all opened before the load starts: topics have no order among each other, and the
checker wants openings first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from loadtest.spool import encode
from models.messages import AccountOpened
from tests.chaos.campaign.money import Money
from tests.support import messages as say
from tests.support.story import ACCOUNTS, just_now, story
from tests.support.traffic import PARTITIONS
from topics.declarations import AUTHORIZATIONS, MAX_RECORD_BYTES

CHAPTER: Final = 12_000
"""Messages in a chapter: at 100 ms of story each, 20 minutes, all of them in the past."""
POISON_PERCENT: Final = 1
POISON_KEY: Final = b"poison-"
"""How the checker, which must not ask the codec under test, knows a record that is no message."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record as it is produced. `at`: its own timestamp in milliseconds, None: the producer's. `poison`: it must end
    in the dead letters."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    at: int | None = None
    poison: bool = False


def accounts(chapters: int) -> list[AccountOpened]:
    """The openings of all accounts of the first `chapters` chapters."""
    at = just_now()
    return [
        say.opened(f"c{chapter}-acct-{number}", transmitted_at=at)
        for chapter in range(chapters)
        for number in range(ACCOUNTS)
    ]


def told(seed: int, chapters: int) -> Iterator[Outgoing]:
    """Every record of the load in order: `chapters` * CHAPTER messages of the story, poison and money among them."""
    random_ = random.Random(seed)
    number = 0
    for chapter in range(chapters):
        money = Money(random_, f"c{chapter}-")
        for message in story(CHAPTER, seed * 1000 + chapter):
            if random_.random() * 100 < POISON_PERCENT:
                number += 1
                yield poison(random_, number)
            yield record(_of_chapter(message, chapter))
            yield from map(record, money.after(message))


def record(message: Any) -> Outgoing:
    """A message as its record."""
    topic, partition, key, value, _reference = encode(message, PARTITIONS)
    return Outgoing(topic, partition, key, value)


def poison(random_: random.Random, number: int) -> Outgoing:
    """A record that is no message: undecodable (most), empty, without a value, or too large."""
    kind = random_.random()
    value: bytes | None
    if kind < 0.6:
        value = random_.randbytes(random_.randrange(1, 200))
    elif kind < 0.75:
        value = b""
    elif kind < 0.9:
        value = None
    else:
        value = b'{"type":"' + b"x" * (MAX_RECORD_BYTES + random_.randrange(1, 2000)) + b'"}'
    return Outgoing(AUTHORIZATIONS.name, random_.randrange(PARTITIONS), POISON_KEY + b"%d" % number, value, poison=True)


def _of_chapter(message: Any, chapter: int) -> Any:
    """The message, said of the chapter's own account. Equal messages stay equal: repeats are part of the story."""
    account = f"c{chapter}-{message.account_id}"
    changes = {"account_id": account}
    if hasattr(message, "card_token"):
        changes["card_token"] = f"card-{account}"
    return replace(message, **changes)
