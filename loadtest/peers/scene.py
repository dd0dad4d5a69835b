"""The topics of one peer in one round: made before it starts, removed after it has ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from loadtest.clients import Unreachable
from loadtest.peers.catalogue import Peer
from loadtest.peers.stage import Stage
from topics.admin import changelog

_ADMIN_SECONDS: Final = 30

STAMPED_BY_BROKER: Final = {"message.timestamp.type": "LogAppendTime"}
"""A record's timestamp says when the broker appended it."""


@contextmanager
def staged(bootstrap: str, peer: Peer, round_number: int, partitions: int) -> Iterator[Stage]:
    """A stage of its own for one peer; every topic whose name has its application id is removed at the end.

    Raises Unreachable.
    """
    app_id = f"p{secrets.token_hex(3)}-{peer.name}-{round_number}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    with TemporaryDirectory(prefix="otb-peer-") as folder:
        stage = Stage(bootstrap, app_id, f"{app_id}-requests", f"{app_id}-decisions", partitions, Path(folder))
        try:
            _create(admin, stage, peer)
            yield stage
        finally:
            _remove(admin, app_id)


def _create(admin: AdminClient, stage: Stage, peer: Peer) -> None:
    wanted = [
        NewTopic(stage.requests, stage.partitions, config=STAMPED_BY_BROKER),
        NewTopic(stage.decisions, stage.partitions, config=STAMPED_BY_BROKER),
    ]
    if peer.needs_changelog:
        wanted.append(NewTopic(stage.changelog, stage.partitions, config=changelog(stage.app_id).config))
    try:
        for created in admin.create_topics(wanted, request_timeout=_ADMIN_SECONDS).values():
            created.result()
    except KafkaException as error:
        raise Unreachable(f"topics for {peer.title} cannot be created: {error.args[0].str()}") from error


def _remove(admin: AdminClient, app_id: str) -> None:
    """What is left behind for lack of a broker does no harm: no other run uses the names."""
    with suppress(KafkaException):
        mine = [name for name in admin.list_topics(timeout=_ADMIN_SECONDS).topics if app_id in name]
        if mine:
            for removed in admin.delete_topics(mine, request_timeout=_ADMIN_SECONDS).values():
                removed.result()
