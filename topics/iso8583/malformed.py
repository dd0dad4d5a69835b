"""What is wrong with a message: a value for what came in, an exception for what we were asked to send.

Neither ever quotes the content of an element: it could be the card number, or what an aimless byte made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MalformedReason(StrEnum):
    NOT_ISO8583 = "not-iso8583"  # the bytes don't follow the packager
    UNSUPPORTED_TYPE = "unsupported-type"  # message type or processing code that we have no message for
    MISSING_ELEMENT = "missing-element"
    INVALID_ELEMENT = "invalid-element"
    UNKNOWN_CARD_NUMBER = "unknown-card-number"  # the tokenizer knows no such card
    CARD_NUMBER_EXPOSED = "card-number-exposed"  # it also stands in an element that would be kept


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no message of ours. `field` is "MTI", "bitmap" or "DE4"; `detail` says what is expected of it."""

    reason: MalformedReason
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.field}: {self.detail}"


class Refused(Exception):
    """Private to this package: carries a Malformed from where it is found to `decode`, which returns it."""

    def __init__(self, reason: MalformedReason, field: str, detail: str) -> None:
        super().__init__()
        self.malformed = Malformed(reason, field, detail)


class Unencodable(ValueError):
    """We were asked for an ISO message that cannot say this: `field` names ours, or the data element."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail
