"""What each kind of process may do on the cluster: the least that lets it work (docs/security.md has the table).

A right to read or write a topic implies the right to describe it; a transactional or idempotent producer needs no right
on the cluster as well (KIP-679). The operator who applies these is a super user of the brokers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from topics.admin import changelog
from topics.declarations import (
    ACCOUNT_UPDATES,
    AUTHORIZATION_DECISIONS,
    AUTHORIZATIONS,
    CLOCK,
    DEAD_LETTERS,
    INPUTS,
    JOURNAL_ENTRIES,
    OUTPUTS,
    TopicSpec,
)

READER_GROUP: Final = "otb-reader-"
"""First part of the groups that commands name and never join: librdkafka asks for their coordinator all the same."""

Resource = Literal["topic", "group", "transactional-id"]
Operation = Literal["create", "describe", "read", "write"]


class Role(StrEnum):
    """A kind of process; each has a principal of its own."""

    WORKER = "worker"
    SINK = "sink"
    GATEWAY = "gateway"
    NETWORK = "network"
    ANALYST = "analyst"


@dataclass(frozen=True, slots=True)
class Permission:
    """Operations allowed on one resource, or on all whose name begins with `name`."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


def permissions(role: Role, app_id: str) -> list[Permission]:
    """All that the role needs for the application `app_id`, nothing else."""
    rows = changelog(app_id)
    match role:
        case Role.WORKER:
            return [
                *_on([spec for spec in INPUTS if spec is not CLOCK], "read", "create"),
                *_on([CLOCK, AUTHORIZATION_DECISIONS, rows], "read", "write", "create"),
                *_on([spec for spec in OUTPUTS if spec is not AUTHORIZATION_DECISIONS], "write", "create"),
                Permission("group", app_id, ("read",)),
                # one for each worker's name, one for the decisions of each partition
                Permission("transactional-id", f"{app_id}-", ("write",), prefixed=True),
            ]
        case Role.SINK:
            return [
                *_on([JOURNAL_ENTRIES], "read"),
                *_on([DEAD_LETTERS], "write"),
                Permission("group", f"{app_id}-ledger", ("read",)),
            ]
        case Role.GATEWAY:
            return [*_on([AUTHORIZATIONS], "write"), *_on([AUTHORIZATION_DECISIONS], "read")]
        case Role.NETWORK:
            return [
                *_on([spec for spec in INPUTS if spec is not CLOCK], "write"),
                *_on([AUTHORIZATION_DECISIONS, ACCOUNT_UPDATES, DEAD_LETTERS], "read"),
                Permission("group", app_id, ("describe",)),  # how far behind the workers are
                _READER,
            ]
        case Role.ANALYST:
            return [*_on([*OUTPUTS, rows], "read"), _READER]


_READER: Final = Permission("group", READER_GROUP, ("describe",), prefixed=True)


def _on(specs: list[TopicSpec] | tuple[TopicSpec, ...], *operations: Operation) -> list[Permission]:
    return [Permission("topic", spec.name, operations) for spec in specs]
