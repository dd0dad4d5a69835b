"""What a comparison found: every round as measured, medians and ranges, ratios, and whether the goals are met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from loadtest.peers.audit import Audit
from loadtest.peers.capacity import Capacity
from loadtest.peers.catalogue import OURS
from loadtest.peers.stopwatch import Timed


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of one figure over the rounds."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, figures: Iterable[float | None]) -> Spread | None:
        """None when no round has the figure."""
        known = [figure for figure in figures if figure is not None]
        return cls(statistics.median(known), min(known), max(known), len(known)) if known else None

    def told(self, decimals: int) -> str:
        """The median, and the range of more than one round."""
        middle = f"{self.median:,.{decimals}f}"
        if self.rounds == 1:
            return middle
        return f"{middle} ({self.lowest:,.{decimals}f} to {self.highest:,.{decimals}f})"


@dataclass(slots=True)
class Round:
    """One peer in one round. What could not be measured is missing; `failure` says why."""

    number: int  # from 1
    busy_percent: float | None = None  # of all cores, before it began: what others were doing
    start_seconds: float | None = None  # from the start of its process to its first decisions
    capacity: Capacity | None = None
    timed: dict[int, Timed] = field(default_factory=dict)  # by rate; none for a rate above its capacity
    audit: Audit | None = None
    failure: str | None = None

    def rate(self) -> float | None:
        """Highest sustained rate, decisions per second."""
        return self.capacity.rate if self.capacity else None

    def latency_ms(self, rate: int, percentile: str) -> float | None:
        """`percentile` as in `loadtest.latency.REPORTED`."""
        timed = self.timed.get(rate)
        return timed.latency_ms[percentile] if timed else None


@dataclass(slots=True)
class PeerResult:
    """One peer in all rounds."""

    name: str
    title: str
    guarantee: str
    exactly_once: bool
    versions: str
    unavailable: str | None = None  # why it could not be set up
    rounds: list[Round] = field(default_factory=list)

    def rate(self) -> Spread | None:
        return Spread.of(each.rate() for each in self.rounds)

    def latency_ms(self, rate: int, percentile: str) -> Spread | None:
        return Spread.of(each.latency_ms(rate, percentile) for each in self.rounds)

    def failures(self) -> list[str]:
        """One line for everything that went wrong or was not clean."""
        if self.unavailable:
            return [self.unavailable]
        return [f"round {each.number}: {line}" for each in self.rounds for line in _failures(each)]


def _failures(played: Round) -> list[str]:
    found = [played.failure] if played.failure else []
    audit = played.audit
    if audit and not audit.clean:
        found.append(f"{audit.missing} decisions missing, {audit.extra} extra, {audit.wrong} wrong")
    if played.capacity and played.capacity.starved:
        found.append("the sender was the bottleneck: the highest rate may be higher")
    for rate, timed in played.timed.items():
        if timed.unsent or timed.missing or timed.overflow:
            found.append(f"at {rate:,}/s {timed.unsent} unsent, {timed.missing} missing, {timed.overflow} too slow")
    return found


Figure = Callable[[Round], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of ours to a peer's that the run should show."""

    peer: str
    metric: str
    bound: float
    at_most: bool  # else at least
    figure: Figure

    def text(self) -> str:
        return f"{self.metric} {'at most' if self.at_most else 'at least'} {self.bound:g} times that of {self.peer}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a goal; `ratio` is None when one side was not measured."""

    goal: str
    ratio: Spread | None
    met: bool | None


def _rate(played: Round) -> float | None:
    return played.rate()


def _p99_at(rate: int) -> Figure:
    return lambda played: played.latency_ms(rate, "p99")


GOALS: Final = (
    Goal("streams-eos-10ms", "p99 at 1,000/s", 0.4, at_most=True, figure=_p99_at(1000)),
    Goal("streams-eos-10ms", "p99 at 5,000/s", 0.4, at_most=True, figure=_p99_at(5000)),
    Goal("streams-eos-10ms", "highest sustained rate", 1.2, at_most=False, figure=_rate),
    Goal("faust", "highest sustained rate", 20, at_most=False, figure=_rate),
    Goal("bare-loop", "highest sustained rate", 0.9, at_most=False, figure=_rate),
)


BUSY_PERCENT: Final = 20.0
"""A machine that is busier than this before a peer's part gives figures not to be relied on."""


@dataclass(slots=True)
class PeersReport:
    """One run. Figures of latency are milliseconds, rates are decisions per second."""

    command: str
    began: str  # UTC, ISO 8601
    machine: Mapping[str, str]
    plan: Mapping[str, object]
    rates: Sequence[int]
    peers: list[PeerResult]

    def busy(self) -> Spread | None:
        """Per cent of all cores that others were using before each part of each round."""
        return Spread.of(each.busy_percent for peer in self.peers for each in peer.rounds)

    def disturbed(self) -> bool:
        """Whether something else was using the machine at some time."""
        busy = self.busy()
        return busy is not None and busy.highest > BUSY_PERCENT

    def peer(self, name: str) -> PeerResult | None:
        return next((peer for peer in self.peers if peer.name == name), None)

    def ratio(self, name: str, figure: Figure) -> Spread | None:
        """Ours over a peer's, taken within each round, so that what slowed a whole round cancels out."""
        ours, theirs = self.peer(OURS), self.peer(name)
        if ours is None or theirs is None:
            return None
        pairs = [(figure(a), figure(b)) for a in ours.rounds for b in theirs.rounds if a.number == b.number]
        return Spread.of(a / b for a, b in pairs if a is not None and b)

    def rate_ratio(self, name: str) -> Spread | None:
        """Our highest sustained rate over a peer's."""
        return self.ratio(name, _rate)

    def p99_ratio(self, name: str, rate: int) -> Spread | None:
        """Our p99 at `rate` over a peer's."""
        return self.ratio(name, _p99_at(rate))

    def verdicts(self) -> list[Verdict]:
        """The goals, judged by the median of their ratios."""
        return [self._verdict(goal) for goal in GOALS]

    def _verdict(self, goal: Goal) -> Verdict:
        ratio = self.ratio(goal.peer, goal.figure)
        if ratio is None:
            return Verdict(goal.text(), None, None)
        return Verdict(goal.text(), ratio, ratio.median <= goal.bound if goal.at_most else ratio.median >= goal.bound)

    def as_json(self) -> dict[str, object]:
        """Everything, ready for JSON: the measured rounds and what follows from them."""
        return {
            "command": self.command,
            "began": self.began,
            "machine": dict(self.machine),
            "plan": dict(self.plan),
            "busy_percent": self.busy(),
            "peers": [_peer_as_json(peer) | {"summary": self._summary(peer)} for peer in self.peers],
            "goals": [asdict(verdict) for verdict in self.verdicts()],
        }

    def _summary(self, peer: PeerResult) -> dict[str, object]:
        return {
            "rate": peer.rate(),
            "latency_ms": {
                str(rate): {name: peer.latency_ms(rate, name) for name in ("p50", "p99", "p99_9")}
                for rate in self.rates
            },
            "ours_over_it": {
                "rate": self.rate_ratio(peer.name),
                "p99_ms": {str(rate): self.p99_ratio(peer.name, rate) for rate in self.rates},
            },
            "failures": peer.failures(),
        }


def _peer_as_json(peer: PeerResult) -> dict[str, object]:
    """JSON knows no whole numbers as keys."""
    rounds = [
        asdict(each) | {"timed": {str(rate): asdict(t) for rate, t in each.timed.items()}} for each in peer.rounds
    ]
    return asdict(peer) | {"rounds": rounds}
