"""The answers an account remembers, so that a repeated message gets the stored answer and changes nothing.

The identity of an authorisation request is its network reference, of every other message its message id. The
content is compared by fingerprint: the same identity with other content is a conflict, never a second effect.
Times are not content: a network stamps a retry anew.

Whole answers are kept for the minutes in which networks retry. Files of presentments and payments are sent twice days
later, acquirers repeat reversals for hours, and there a second effect would be money: so of every message that moved a
balance or changed a hold a short digest is kept for much longer (`posted`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from models.messages import AuthorizationAdvice, AuthorizationIncrement, AuthorizationRequest, Presentment

KEEP_MS: Final = 15 * 60_000
"""Networks repeat within seconds, acquirers within minutes."""
KEEP_AT_LEAST: Final = 4
KEEP_AT_MOST: Final = 128
DIGEST_BYTES: Final = 6
"""One false match in 2 million million messages at KEEP_POSTED."""
KEEP_POSTED: Final = 128
_ONCE_WITHOUT_TYPE: Final = frozenset({"presentment", "payment-received"})
"""Rows of version 1 kept digests of their ids alone."""
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_PAIRS: Final = tuple(low + high for high in _ALPHABET for low in _ALPHABET)
_PAIR_COUNT: Final = len(_PAIRS)


class AuthorizationAnswer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=0):
    fingerprint: int
    decided_at: int
    reason: str | None  # None: approved
    open_to_buy: int
    fraud_score: int | None
    fraud_reasons: list[str]
    model_version: str | None
    approved: int | None = None  # an amount that differs from the one asked for
    control: str | None = None
    stand_in: bool = False
    detail: str | None = None


class ReversalAnswer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=1, gc=False):
    fingerprint: int
    decided_at: int
    outcome: str
    released: int
    open_to_buy: int
    reference: str | None = None  # of the hold, when something was released


class UpdateAnswer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=2, gc=False):
    fingerprint: int
    decided_at: int
    outcome: str
    posted_balance: int
    open_holds: int
    open_to_buy: int
    hold_reference: str | None = None
    match_rule: str | None = None


class AdviceAnswer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=3, gc=False):
    fingerprint: int
    decided_at: int
    outcome: str
    held: int
    open_to_buy: int


Answer = AuthorizationAnswer | ReversalAnswer | UpdateAnswer | AdviceAnswer


def fingerprint(content: str) -> int:
    """63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) >> 1


class _Content(NamedTuple):
    """How the content of one message type is read: what must be there, and what may."""

    required: Callable[[Any], tuple[Any, ...]]
    optional: Callable[[Any], tuple[Any, ...]]
    prefixes: tuple[str, ...]  # of what may be there: separator, name, equals sign
    defaults: tuple[Any, ...]


_NO_CONTENT: Final = frozenset({"type", "version", "message_id", "account_id", "transmitted_at", "stan"})
_NO_CONTENT_OF: Final[dict[type[Any], frozenset[str]]] = {
    AuthorizationRequest: frozenset({"network_reference"}),
    AuthorizationIncrement: frozenset({"network_reference"}),
    AuthorizationAdvice: frozenset({"network_reference"}),
    Presentment: frozenset({"merchant_name"}),
}
"""Identity, times, and what the network stamps anew when it repeats itself."""


def fingerprint_of(message: Any) -> int:
    """Of a message's content. Fields at their default leave no trace, so that a new one changes no old fingerprint."""
    required, optional, prefixes, defaults = _content_of(message.__class__)
    text = "\x1f".join(map(str, required(message)))  # the separator cannot occur in any validated field
    given = optional(message)
    if given != defaults:
        changed = zip(prefixes, defaults, given)  # noqa: B905 - equally long, and strict costs here
        text += "".join([f"{prefix}{value}" for prefix, default, value in changed if value != default])
    return fingerprint(text)


@cache
def _content_of(kind: Any) -> _Content:
    """`kind` is a message's class."""
    none = _NO_CONTENT | _NO_CONTENT_OF.get(kind, frozenset())
    fields = [part for part in dataclasses.fields(kind) if part.name not in none]
    required = [part.name for part in fields if not _has_default(part)]
    optional = [part for part in fields if _has_default(part)]
    names = [part.name for part in optional]
    defaults = tuple(
        part.default if part.default_factory is dataclasses.MISSING else part.default_factory() for part in optional
    )
    prefixes = tuple(f"\x1f{name}=" for name in names)
    return _Content(_getter(required), _getter(names), prefixes, defaults)


def _has_default(part: dataclasses.Field[Any]) -> bool:
    return part.default is not dataclasses.MISSING or part.default_factory is not dataclasses.MISSING


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


def approval_code(network_reference: str, fingerprint: int) -> str:
    """Six characters for the receipt, the same for every repeat of the request (ISO 8583 data element 38), and not the
    same for another request with equal content: clearings are matched by it."""
    rest, first = divmod(fingerprint ^ crc32(network_reference.encode()), _PAIR_COUNT)
    rest, second = divmod(rest, _PAIR_COUNT)
    return _PAIRS[first] + _PAIRS[second] + _PAIRS[rest % _PAIR_COUNT]


def advice_key(reference: str) -> str:
    """Under which an advice is remembered: one that stands in carries the reference of the request it answers. No
    identifier has a blank, so it is apart from everything else."""
    return f"advice {reference}"


def remember(answers: dict[str, Answer], key: str, answer: Answer, now: int) -> None:
    """Store `answer` and forget the oldest ones beyond the bounds: those older than KEEP_MS down to KEEP_AT_LEAST."""
    answers[key] = answer
    while len(answers) > KEEP_AT_LEAST:
        oldest = next(iter(answers))
        if len(answers) <= KEEP_AT_MOST and now - answers[oldest].decided_at < KEEP_MS:
            break
        del answers[oldest]


def digest(message_id: str) -> bytes:
    """DIGEST_BYTES that stand for a message id or reference in a row."""
    return hashlib.blake2b(message_id.encode(), digest_size=DIGEST_BYTES).digest()


def is_posted(posted: bytes, message_type: str, identity: str) -> bool:
    """Whether such a message is among the digests in `posted`. Types are apart: their senders number by themselves."""
    if _is_among(posted, digest(f"{message_type} {identity}")):
        return True
    return message_type in _ONCE_WITHOUT_TYPE and _is_among(posted, digest(identity))


def _is_among(posted: bytes, wanted: bytes) -> bool:
    at = posted.find(wanted)
    while at >= 0 and at % DIGEST_BYTES:
        at = posted.find(wanted, at + 1)
    return at >= 0


def add_posted(posted: bytes, message_type: str, identity: str) -> bytes:
    """`posted` with one more digest, the oldest dropped beyond KEEP_POSTED."""
    return (posted + digest(f"{message_type} {identity}"))[-KEEP_POSTED * DIGEST_BYTES :]
