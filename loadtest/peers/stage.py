"""What a peer's process is told, in the order of its command line, and how it ends with the run that started it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from topics.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one peer works in one round; nothing on it is shared with another peer or round."""

    bootstrap: str
    app_id: str  # consumer group, transactional id, and the first part of every topic's name
    requests: str  # input topic
    decisions: str  # output topic
    partitions: int  # of both
    folder: Path  # for local state

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Self:
        """Read `BOOTSTRAP APP_ID REQUESTS DECISIONS PARTITIONS FOLDER`."""
        bootstrap, app_id, requests, decisions, partitions, folder = arguments[:6]
        return cls(bootstrap, app_id, requests, decisions, int(partitions), Path(folder))

    def arguments(self) -> list[str]:
        """The command line that `from_arguments` reads."""
        return [self.bootstrap, self.app_id, self.requests, self.decisions, str(self.partitions), str(self.folder)]

    @property
    def cluster(self) -> Cluster:
        """The peers speak to a broker of their own, without TLS."""
        return Cluster(self.bootstrap)

    @property
    def changelog(self) -> str:
        """Topic of the rows (the name that Faust and Kafka Streams give it as well)."""
        return f"{self.app_id}-accounts-changelog"


def end_with_parent() -> None:
    """From now on this process ends when its standard input does: a pipe from the run, which closes however it ends."""
    threading.Thread(target=_wait_for_end, name="end-with-parent", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # not through the buffer, whose lock would outlive the interpreter
        pass
    os._exit(0)
