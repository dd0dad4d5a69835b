"""The message reference: what stands on each topic, field by field, and every name that an outcome can have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from deploy.documentation.constraints import in_words
from deploy.documentation.markdown import code, table
from deploy.documentation.source import members, summary
from models import messages
from models.journal import EntryType, LedgerAccount, entry
from models.messages import (
    AccountUpdate,
    AuthorizationDecision,
    DeadLetter,
    Inbound,
    JournalEntry,
    Posting,
    ReversalAcknowledgement,
)
from models.outcomes import DeclineReason, ReversalOutcome, UpdateOutcome
from sinks.ledger.errors import Reason
from topics.codec import TYPES_BY_TOPIC, Unreadable
from topics.declarations import (
    ACCOUNT_UPDATES,
    ALL,
    AUTHORIZATION_DECISIONS,
    DAY_MS,
    DEAD_LETTERS,
    INPUTS,
    JOURNAL_ENTRIES,
    TopicSpec,
)

OUTBOUND: Final[dict[str, tuple[type, ...]]] = {
    AUTHORIZATION_DECISIONS.name: (AuthorizationDecision, ReversalAcknowledgement),
    ACCOUNT_UPDATES.name: (AccountUpdate,),
    JOURNAL_ENTRIES.name: (JournalEntry,),
    DEAD_LETTERS.name: (DeadLetter,),
}
"""Topic -> what the engine writes to it."""

_INTRODUCTION: Final = """\
# Messages

Written by `python -m deploy.documentation` from `models/messages.py`, `models/outcomes.py`, `models/journal.py` and
`topics/`; do not edit by hand.

Every record is one UTF-8 JSON object. All fields are required. Amounts are integer minor units of `currency`, times are
milliseconds since the epoch, UTC. Inbound records are validated strictly (no text for a number, no fraction, no key
twice); unknown fields are ignored, and a record that is no message goes to `dead-letters`. The key of every record is
the account id, and its partition is Kafka's murmur2 of the key (`topics/keys.py`); the ticks of `clock` have no key and
go to every partition. Read the output topics with `isolation.level=read_committed`: anything else shows decisions
that were never made.
"""


def reference() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Topics\n", _topics(), _types(), "## Inbound\n"]
    parts += [_topic(spec) for spec in ALL if spec in INPUTS]
    parts.append("## Outbound\n")
    parts += [_topic(spec) for spec in ALL if spec not in INPUTS]
    parts += ["## Names\n", *_names()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def messages_of(topic: str) -> tuple[type, ...]:
    """The message classes on a topic, in the order they are declared."""
    if topic in OUTBOUND:
        return OUTBOUND[topic]
    return tuple(kind for kind in get_args(Inbound) if type_name(kind) in TYPES_BY_TOPIC[topic])


def type_name(message: type) -> str:
    """The value of its field `type`."""
    name: str = get_args(get_type_hints(message)["type"])[0]
    return name


def _topics() -> str:
    rows = (
        (
            f"[{code(spec.name)}](#{spec.name})",
            "in" if spec in INPUTS else "out",
            ", ".join(code(type_name(kind)) for kind in messages_of(spec.name)),
            _retention(spec),
        )
        for spec in ALL
    )
    return table(("topic", "", "messages", "kept for"), rows)


def _retention(spec: TopicSpec) -> str:
    kept_ms = int(spec.config["retention.ms"])
    return "ever" if kept_ms < 0 else f"{kept_ms // DAY_MS} days"


def _aliases() -> dict[str, Any]:
    """Types that `models/messages.py` gives a name."""
    return {name: alias for name, alias in vars(messages).items() if get_origin(alias) is Annotated}


def _types() -> str:
    rows = ((name, in_words(TypeAdapter(alias).json_schema())) for name, alias in _aliases().items())
    return f"Types with a name of their own:\n\n{table(('type', 'may be'), rows)}\n"


def _topic(spec: TopicSpec) -> str:
    return "\n".join([f"### {spec.name}\n", *(_message(kind) for kind in messages_of(spec.name))])


def _message(kind: type) -> str:
    lines = [f"#### {type_name(kind)}\n", f"{summary(kind)}\n", _fields(kind)]
    if kind is JournalEntry:
        lines += [f"Posting: {summary(Posting)}\n", _fields(Posting)]
    return "\n".join(lines)


def _fields(kind: type) -> str:
    schema = TypeAdapter(kind).json_schema()["properties"]
    aliases = _aliases()
    rows = (
        (
            code(name),
            member.annotation if member.annotation in aliases else in_words(schema[name]),
            member.comment,
        )
        for name, member in members(kind).items()
        if name in schema
    )
    return table(("field", "type", "meaning"), rows) + "\n"


def _names() -> list[str]:
    return [
        _enumeration("Decline reasons", DeclineReason, "Why a request was declined, in the order of the checks."),
        _enumeration("Reversal outcomes", ReversalOutcome, "What became of a reversal."),
        _enumeration("Update outcomes", UpdateOutcome, summary(UpdateOutcome)),
        f"### Dead letters\n\nReasons given by the engine: {_dead_letter_reasons()}.\n\n"
        f"Reasons given by the ledger sink: {', '.join(code(reason.value) for reason in Reason)}.\n",
        _enumeration("Ledger accounts", LedgerAccount, "Debits are positive, credits negative."),
        _entry_types(),
    ]


def _enumeration(title: str, kind: type[StrEnum], text: str) -> str:
    rows = ((code(kind[name].value), member.comment) for name, member in members(kind).items())
    return f"### {title}\n\n{text}\n\n{table(('name', 'meaning'), rows)}\n"


def _dead_letter_reasons() -> str:
    reasons = summary(Unreadable).partition("reasons: ")[2].partition(", and the outcomes")[0]
    parked = [outcome.value for outcome in UpdateOutcome if not outcome.moved]
    return ", ".join(code(name) for name in [*reasons.split(", "), *parked])


def _entry_types() -> str:
    rows = []
    for name, member in members(EntryType).items():
        kind = EntryType[name]
        debit, credit = entry(kind, 1, account_id="a", sequence=1, cause="c", currency="USD", effective_at=0).postings
        rows.append((code(kind.value), code(debit.ledger_account), code(credit.ledger_account), member.comment))
    return f"### Journal entries\n\n{table(('entry type', 'debit', 'credit', 'meaning'), rows)}\n"
