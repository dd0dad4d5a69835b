"""The peers: what each is, what it promises, and what starts it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from loadtest.peers import java, quix_environment
from loadtest.peers.java import Java
from loadtest.peers.process import python_module
from loadtest.peers.stage import Stage

OnProgress = Callable[[str], None]
"""Called with one-line messages."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What peers need from outside to be set up."""

    cache: Path  # what is fetched or built once is kept here
    java: Java | None  # None: peers in Java are left out
    on_progress: OnProgress


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a peer: the words before the stage's and those after them."""

    before: Sequence[str]
    after: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, stage: Stage) -> list[str]:
        return [*self.before, *stage.arguments(), *self.after]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do the job."""

    name: str  # short, for options, topics and files
    title: str
    guarantee: str
    prepare: Callable[[Toolbox], Launch]  # raises Unavailable
    exactly_once: bool = True
    needs_changelog: bool = False  # it does not create the topic itself
    versions: Callable[[], str] = lambda: ""


EXACTLY_ONCE: Final = "exactly once"
EXACTLY_ONCE_FENCED: Final = "exactly once, fenced"
AT_LEAST_ONCE: Final = "at least once"

OURS: Final = "ours"


def _module(name: str, _tools: Toolbox) -> Launch:
    return Launch(python_module(f"loadtest.peers.{name}"))


def _kafka_streams(settings: Sequence[str], tools: Toolbox) -> Launch:
    return Launch(java.prepare(tools.cache, tools.java, tools.on_progress), settings)


def _quix(settings: Sequence[str], tools: Toolbox) -> Launch:
    return Launch(quix_environment.prepare(tools.cache, tools.on_progress), settings)


def _python(*packages: str) -> Callable[[], str]:
    return lambda: ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])


PEERS: Final = (
    Peer(
        "faust",
        "plain Faust, as its documentation shows it",
        AT_LEAST_ONCE,
        partial(_module, "plain_faust"),
        exactly_once=False,
        versions=_python("faust-streaming", "aiokafka"),
    ),
    Peer(
        "streams-alo",
        "Kafka Streams, at_least_once",
        AT_LEAST_ONCE,
        partial(_kafka_streams, ["at_least_once"]),
        exactly_once=False,
        versions=java.versions,
    ),
    Peer(
        "streams-eos",
        "Kafka Streams, exactly_once_v2, its default commit interval",
        EXACTLY_ONCE,
        partial(_kafka_streams, ["exactly_once_v2"]),
        versions=java.versions,
    ),
    Peer(
        "streams-eos-10ms",
        "Kafka Streams, exactly_once_v2, commit every 10 ms",
        EXACTLY_ONCE,
        partial(_kafka_streams, ["exactly_once_v2", "10"]),
        versions=java.versions,
    ),
    Peer(
        "quix",
        "Quix Streams, exactly-once, its default commit interval",
        EXACTLY_ONCE,
        partial(_quix, []),
        versions=quix_environment.versions,
    ),
    Peer(
        "quix-10ms",
        "Quix Streams, exactly-once, commit every 10 ms",
        EXACTLY_ONCE,
        partial(_quix, ["0.01"]),
        versions=quix_environment.versions,
    ),
    Peer(
        "bare-loop",
        "bare aiokafka loop, one fenced transaction per poll, rows in a dict",
        EXACTLY_ONCE_FENCED,
        partial(_module, "bare_loop"),
        needs_changelog=True,
        versions=_python("aiokafka", "msgspec", "uvloop"),
    ),
    Peer(
        OURS,
        "opentobuy's engine with the minimal job",
        EXACTLY_ONCE_FENCED,
        partial(_module, "ours"),
        needs_changelog=True,
        versions=_python("faust-streaming", "aiokafka", "rocksdict", "msgspec", "uvloop"),
    ),
)


class UnknownPeer(ValueError):
    """No peer has that name; the message lists those there are."""


def chosen(names: Sequence[str]) -> list[Peer]:
    """The peers of these names, in the catalogue's order; all when none is named. Raises UnknownPeer."""
    known = {peer.name for peer in PEERS}
    for name in names:
        if name not in known:
            raise UnknownPeer(f"there is no peer {name!r}: choose from {', '.join(peer.name for peer in PEERS)}")
    return [peer for peer in PEERS if not names or peer.name in names]
