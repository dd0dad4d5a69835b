"""What the ledger sink raises.

LedgerError                    one clear line for the operator; the sink stops
|-- Unavailable                Kafka or PostgreSQL did not answer within the time allowed
|-- MigrationError             the schema in the database is not one this code can use
|-- LedgerRefused              PostgreSQL refuses the work itself (rights, a foreign schema), not one record
`-- OffsetsOutOfRange          the stored offsets do not belong to this topic's log
StaleOffsets                   another sink moved the offsets: drop the batch, read them again (never leaves the sink)
Unpostable                     one record that cannot stand in the ledger: goes to the dead letters
"""

from __future__ import annotations

from enum import StrEnum


class LedgerError(Exception):
    """Ends the sink; the message is meant for the operator."""


class Unavailable(LedgerError):
    """A server stayed away for longer than allowed."""


class MigrationError(LedgerError):
    """The database's schema and this code's migrations disagree."""


class LedgerRefused(LedgerError):
    """The database refuses more than single records."""


class OffsetsOutOfRange(LedgerError):
    """A stored offset lies outside the topic's log."""


class StaleOffsets(Exception):
    """The stored offsets are not where this sink left them."""


class Reason(StrEnum):
    """Why a record is dead-lettered; the first six are the names used for every topic."""

    EMPTY = "empty"
    NOT_JSON = "not-json"
    REPEATED_KEY = "repeated-key"
    UNKNOWN_TYPE = "unknown-type"
    INVALID_FIELD = "invalid-field"
    KEY_MISMATCH = "key-mismatch"
    UNKNOWN_LEDGER_ACCOUNT = "unknown-ledger-account"
    UNBALANCED = "unbalanced"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"
    REFUSED_BY_LEDGER = "refused-by-ledger"


class Unpostable(ValueError):
    """A record that cannot be posted: `reason`, the `field` at fault when there is one, and a `detail` for people."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {field + ': ' if field else ''}{detail}")
        self.reason = reason
        self.detail = detail
        self.field = field
