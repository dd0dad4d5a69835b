"""What a slice sends: replies, journal entries, late scores, dead letters; in the order the messages came."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord

from agents.decided import OUR_FAULTS
from models import card_numbers
from models.account import Unscored
from models.authorization import FraudScore, unremembered
from models.messages import (
    AuthorizationDecision,
    AuthorizationIncrement,
    AuthorizationRequest,
    DeadLetter,
    FraudScored,
    JournalEntry,
)
from models.outcomes import DeclineReason
from models.result import Reply, Result
from topics import codec
from topics.codec import TOPIC_OF_OUTBOUND, Unreadable
from topics.declarations import (
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    DEAD_LETTERS,
    FRAUD_SCORES,
    JOURNAL_ENTRIES,
)

Records = dict[tuple[str, int], list[tuple[bytes | None, bytes]]]
"""(topic, partition) -> [(key, value)]"""

_Declined = tuple[str, AuthorizationDecision]
"""(type of the message, the answer to it)"""


@dataclass(slots=True)
class Output:
    """Collects; every record goes to the partition its message came from."""

    records: Records = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # (message type, outcome or decline reason)
    dead_letters: Counter[str] = field(default_factory=Counter)  # by reason

    def answer(self, record: ConsumerRecord, message_type: str, result: Result) -> None:
        """The reply, its entries, and the record itself when somebody has to look at it."""
        key, partition = record.key, record.partition
        reply, records = result.reply, self.records
        records[TOPIC_OF_OUTBOUND[type(reply)], partition].append((key, codec.encode(reply)))
        if result.entries:
            self.entries(partition, key, result.entries)
        if result.parked is not None:
            self._bury(record, Unreadable(result.parked, "parked"))
        self.outcomes[message_type, _outcome(reply)] += 1

    def absorb(self, other: Output) -> None:
        """What another has collected, behind what is here."""
        for where, records in other.records.items():
            self.records[where] += records
        self.outcomes += other.outcomes
        self.dead_letters += other.dead_letters

    def entries(self, partition: int, key: bytes | None, entries: Iterable[JournalEntry]) -> None:
        self.records[JOURNAL_ENTRIES.name, partition] += [(key, codec.encode(entry)) for entry in entries]

    def swept(self, partition: int, account_id: str, entries: list[JournalEntry]) -> None:
        """Holds whose end a sweep has written down."""
        self.entries(partition, account_id.encode(), entries)
        self.outcomes["clock-tick", "hold-expired"] += len(entries)

    def scored_late(self, partition: int, account_id: str, request: Unscored, score: FraudScore, now: int) -> None:
        late = FraudScored(
            "fraud-score", 1, request.network_reference, account_id, score.ppm, score.reasons, score.model_version,
            request.decided_at, now,
        )  # fmt: skip
        self.records[FRAUD_SCORES.name, partition].append((account_id.encode(), codec.encode(late)))
        self.outcomes["clock-tick", "scored-late"] += 1

    def refuse(self, record: ConsumerRecord, error: Unreadable) -> None:
        """A record that cannot be decided goes to the dead letters; if somebody waits for a decision, and it is still
        known who, it is declined as well."""
        self._bury(record, error)
        if record.topic != AUTHORIZATIONS.name:
            return
        decline = _malfunction if error.reason in OUR_FAULTS else _malformed
        declined = decline(record)
        if declined is not None:
            message_type, decision = declined
            reply = _masked(record.key), codec.encode(decision)
            self.records[AUTHORIZATION_DECISIONS.name, record.partition].append(reply)
            self.outcomes[message_type, _outcome(decision)] += 1

    def _bury(self, record: ConsumerRecord, error: Unreadable) -> None:
        """Keep the record whole in the dead letters, but no card number."""
        key, value, detail = _masked(record.key), _masked(record.value), error.detail[:500].encode(errors="replace")
        letter = DeadLetter(
            "dead-letter", 1, record.topic, record.partition, record.offset, error.reason, error.field,
            card_numbers.masked(detail).decode(errors="replace"), _base64(key), _base64(value), record.timestamp,
            (key, value) != (record.key, record.value),
        )  # fmt: skip
        self.records[DEAD_LETTERS.name, record.partition].append((key, codec.encode(letter)))
        self.dead_letters[error.reason] += 1


def _outcome(reply: Reply) -> str:
    if type(reply) is AuthorizationDecision:
        return reply.reason or reply.outcome
    return reply.outcome


def _malformed(record: ConsumerRecord) -> _Declined | None:
    """Nothing of it but its identity can be relied on."""
    refused = codec.refused(record.value)
    if refused is None:
        return None
    return refused.type, AuthorizationDecision(
        "authorization-decision", 1, refused.network_reference, refused.account_id, "declined",
        DeclineReason.MALFORMED, 0, "", None, None, None, [], None, record.timestamp,
    )  # fmt: skip


def _malfunction(record: ConsumerRecord) -> _Declined | None:
    """The message is a good one; it is we who cannot decide it."""
    message = codec.decode(record.topic, record.key, record.value)
    if not isinstance(message, AuthorizationRequest | AuthorizationIncrement):
        return None
    return message.type, unremembered(message, DeclineReason.SYSTEM_MALFUNCTION, None)


def _masked(data: bytes | None) -> bytes | None:
    return None if data is None else card_numbers.masked(data)


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
