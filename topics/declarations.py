"""The topics: names, direction and broker configuration. All are keyed by account id and equally partitioned, so that
everything about one account meets in one partition number of every topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_MS: Final = 86_400_000
MAX_RECORD_BYTES: Final = 64 * 1024
"""Largest record taken for a message; anything bigger is dead-lettered unread."""
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Largest batch the broker accepts on an input topic (its limit is for batches, not records): a producer's 10 MB
mistake is refused there."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic's name and its broker configuration beside the cluster's defaults."""

    name: str
    config: dict[str, str]

    @property
    def kept(self) -> dict[str, str]:
        """The part of `config` without which records that nothing else holds would be deleted."""
        keeps = {"cleanup.policy": self.config.get("cleanup.policy"), "retention.bytes": "-1", "retention.ms": "-1"}
        return {key: value for key, value in self.config.items() if keeps.get(key) == value}


def _input(name: str) -> TopicSpec:
    """Stamped by the broker, so that a record's timestamp says when it came, whatever its producer's clock says."""
    return TopicSpec(
        name,
        {
            "max.message.bytes": str(MAX_BATCH_BYTES),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(7 * DAY_MS),
        },
    )


def _output(name: str, days: int) -> TopicSpec:
    return TopicSpec(name, {"retention.ms": str(days * DAY_MS)})


AUTHORIZATIONS: Final = _input("authorizations")
CLEARINGS: Final = _input("clearings")
PAYMENTS: Final = _input("payments")
ACCOUNT_EVENTS: Final = _input("account-events")
CLOCK: Final = _input("clock")
INPUTS: Final = (AUTHORIZATIONS, CLEARINGS, PAYMENTS, ACCOUNT_EVENTS, CLOCK)

AUTHORIZATION_DECISIONS: Final = _output("authorization-decisions", 30)
ACCOUNT_UPDATES: Final = _output("account-updates", 30)
JOURNAL_ENTRIES: Final = TopicSpec(  # for ever, whatever the cluster's defaults say: the ledger can be rebuilt from it
    "journal-entries", {"cleanup.policy": "delete", "retention.bytes": "-1", "retention.ms": "-1"}
)
FRAUD_SCORES: Final = _output("fraud-scores", 30)
DEAD_LETTERS: Final = TopicSpec(  # base64 makes a record a third larger
    "dead-letters", {"retention.ms": str(90 * DAY_MS), "max.message.bytes": str(2 * MAX_BATCH_BYTES)}
)
OUTPUTS: Final = (AUTHORIZATION_DECISIONS, ACCOUNT_UPDATES, FRAUD_SCORES, JOURNAL_ENTRIES, DEAD_LETTERS)

ALL: Final = INPUTS + OUTPUTS
