"""What a run found: every round as measured, medians and ranges, ratios, and whether the goals are met; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from loadtest.peers.report import Spread
from loadtest.runs.resampling import CONFIDENCE, REPLICATES, Change, Histograms, percentile_change
from loadtest.runs.series import PackedLatencies
from loadtest.scaling.backlog import Drained
from loadtest.scaling.growth import Restore, Timed
from loadtest.scaling.opening import Opening

VERSION: Final = 1
"""Of the JSON document; raised when a reader of an older one would misunderstand it."""

PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
MOST_GROWTH: Final = 1.3
"""Of p99 from the fewest accounts to the most."""

LEAST_FACTOR: Final = 0.9
"""Of what so many workers would do if each did what one alone does: 1.8 for two."""

ENOUGH_ROWS: Final = 50_000
"""From which on it shows how quick a restore is: fewer take less time than the start of the process."""

TOO_BUSY_PERCENT: Final = 10.0

MEASURED: Final = (
    "The machine has a core for each worker and two for broker and generator. Every process was kept on its cores, and "
    "the rates are measured on the wall clock: nothing is projected."
)
PROJECTED: Final = (
    "The machine has too few cores to give each worker one beside broker and generator: workers wait for each other's "
    "core, and no rate on the wall clock could show how they scale. The rate is a projection: the decisions that each "
    "worker made in a second of processor time, added up. It holds where every worker has a core for itself and the "
    "broker keeps up, and it leaves out what can only be seen there, such as waiting for the broker. What is measured "
    "is the processor time of a decision, with few workers and with more of them."
)


@dataclass(frozen=True)
class Growth:
    """All rounds with so many accounts."""

    accounts: int
    restore: Restore
    rounds: list[Timed] = field(default_factory=list)

    def latency_ms(self, name: str) -> Spread | None:
        return Spread.of(each.latency_ms[name] for each in self.rounds)

    def cpu_ms(self) -> Spread | None:
        """Of the worker, for a request."""
        return Spread.of(each.cpu_ms_per_request for each in self.rounds)

    def failures(self) -> list[str]:
        """One line for every round in which a request was lost, or in which the generator could not send it."""
        return [
            f"{self.accounts:,} accounts, round {each.number}: {each.unsent:,} requests not sent, "
            f"{each.missing:,} never decided"
            for each in self.rounds
            if each.unsent or each.missing
        ]


@dataclass(frozen=True)
class Teamwork:
    """All rounds with so many workers."""

    workers: int
    rounds: list[Drained] = field(default_factory=list)

    @property
    def title(self) -> str:
        return "1 worker" if self.workers == 1 else f"{self.workers} workers"

    def rate(self) -> Spread | None:
        """Decisions per second on the wall clock."""
        return Spread.of(each.rate for each in self.rounds)

    def rate_of_cores(self) -> Spread | None:
        """Decisions per second if every worker had a core for itself."""
        return Spread.of(each.rate_of_cores for each in self.rounds)

    def waited(self) -> Spread | None:
        """Part of the time in which a worker was ready to run and had no core."""
        return Spread.of(worker.waited for each in self.rounds for worker in each.workers)

    def cpu_ms(self) -> Spread | None:
        """Of the workers, for a decision."""
        return Spread.of(1000 / worker.rate_of_a_core for each in self.rounds for worker in each.workers)

    def broker_cpu_ms(self) -> Spread | None:
        return Spread.of(1000 * each.broker_cpu_seconds / each.decided for each in self.rounds)

    def generator_cpu_ms(self) -> Spread | None:
        return Spread.of(1000 * each.generator_cpu_seconds / each.decided for each in self.rounds)

    @property
    def pinned(self) -> bool:
        return all(each.pinned for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`met` and `missed` are said only when the whole interval, or every round, is on that side of the bound; between
    them a goal is `not shown`, and without figures `not measured`."""

    goal: str
    ratio: float | None
    low: float | None  # of its interval, or of the rounds
    high: float | None
    word: Literal["met", "missed", "not shown", "not measured"]

    @classmethod
    def judged(cls, goal: str, figures: tuple[float, float, float], bound: float, *, at_most: bool) -> Verdict:
        """From (ratio, lowest, highest)."""
        ratio, low, high = (round(each, 4) for each in figures)
        inside, outside = (high <= bound, low > bound) if at_most else (low >= bound, high < bound)
        return cls(goal, ratio, low, high, "met" if inside else "missed" if outside else "not shown")

    @classmethod
    def unmeasured(cls, goal: str) -> Verdict:
        return cls(goal, None, None, None, "not measured")


@dataclass(frozen=True)
class ScalingReport:
    """A whole run; either half may be empty."""

    command: str
    began: str
    machine: Mapping[str, str]
    plan: Mapping[str, Any]
    seed: int
    growths: Sequence[Growth]  # from the fewest accounts to the most
    teams: Sequence[Teamwork]  # from the fewest workers to the most
    opening: Opening | None = None

    def over_fewest(self, growth: Growth, percentile: float) -> Change | None:
        """How a percentile differs from that with the fewest accounts, intervals and rounds drawn anew; None when too
        few samples lie above it."""
        fewest, these = (Histograms([each.intervals for each in of.rounds]) for of in (self.growths[0], growth))
        return percentile_change(fewest, these, percentile, self.seed)

    def rows_per_second(self, growth: Growth) -> float | None:
        """Of the restore, without what a start takes with the fewest rows; None for so few that it hides them."""
        fewest = self.growths[0].restore
        rows, seconds = growth.restore.rows - fewest.rows, growth.restore.seconds - fewest.seconds
        return round(rows / seconds, 1) if rows >= ENOUGH_ROWS and seconds > 0 else None

    def factor(self, team: Teamwork, *, of_cores: bool) -> Spread | None:
        """What they do over what the smallest team does, in the same round: on the wall clock, or with a core each."""
        alone = {each.number: each for each in self.teams[0].rounds}
        pairs = [(each, alone[each.number]) for each in team.rounds if each.number in alone]
        if of_cores:
            return Spread.of(these.rate_of_cores / those.rate_of_cores for these, those in pairs)
        return Spread.of(these.rate / those.rate for these, those in pairs)

    def proof(self) -> str:
        """How the factor of the workers was shown, in words."""
        return MEASURED if all(team.pinned for team in self.teams) else PROJECTED

    def verdicts(self) -> list[Verdict]:
        """The goals of the halves that were played."""
        growth = [self._growth_verdict(each) for each in self.growths[1:]]
        return growth + [self._factor_verdict(each) for each in self.teams[1:]]

    def _growth_verdict(self, growth: Growth) -> Verdict:
        goal = (
            f"p99 with {growth.accounts:,} accounts at most {MOST_GROWTH:g} times that with "
            f"{self.growths[0].accounts:,}"
        )
        change = self.over_fewest(growth, PERCENTILES["p99"])
        if change is None:
            return Verdict.unmeasured(goal)
        ratios = (1 + change.percent / 100, 1 + change.low / 100, 1 + change.high / 100)
        return Verdict.judged(goal, ratios, MOST_GROWTH, at_most=True)

    def _factor_verdict(self, team: Teamwork) -> Verdict:
        fewest = self.teams[0].workers
        least = round(LEAST_FACTOR * team.workers / fewest, 4)
        measured = all(each.pinned for each in self.teams)
        goal = (
            f"{team.workers} workers at least {least:g} times the rate of {fewest} "
            f"({'measured' if measured else 'projected: a core for each worker'})"
        )
        factor = self.factor(team, of_cores=not measured)
        if factor is None:
            return Verdict.unmeasured(goal)
        return Verdict.judged(goal, (factor.median, factor.lowest, factor.highest), least, at_most=False)

    def failures(self) -> list[str]:
        """What makes the run no pass."""
        lost = [line for growth in self.growths for line in growth.failures()]
        return lost + [f"missed: {each.goal}" for each in self.verdicts() if each.word == "missed"]

    def busy(self) -> Spread | None:
        """What others were doing before the parts, in per cent of all cores."""
        of_growths = [each.busy_percent for growth in self.growths for each in growth.rounds]
        return Spread.of([*of_growths, *(each.busy_percent for team in self.teams for each in team.rounds)])

    def warnings(self) -> list[str]:
        """What makes the figures worth less."""
        busy = self.busy()
        if busy is None or busy.highest < TOO_BUSY_PERCENT:
            return []
        return [
            f"the machine was busy with other work: {busy.median:.0f} % of it before half of the parts, "
            f"{busy.highest:.0f} % at most"
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON: the measured rounds and what follows from them."""
        return {
            "version": VERSION,
            "kind": "scaling",
            "command": self.command,
            "began": self.began,
            "machine": dict(self.machine),
            "plan": dict(self.plan),
            "confidence": CONFIDENCE,
            "replicates": REPLICATES,
            "passed": not self.failures(),
            "failures": self.failures(),
            "warnings": self.warnings(),
            "goals": [asdict(verdict) for verdict in self.verdicts()],
            "accounts": [self._growth_as_json(growth) for growth in self.growths],
            "opening": asdict(self.opening) | {"rate": round(self.opening.rate, 1)} if self.opening else None,
            "workers": [self._team_as_json(team) for team in self.teams],
            "proof": self.proof() if self.teams else None,
        }

    def _growth_as_json(self, growth: Growth) -> dict[str, Any]:
        changes = {name: self.over_fewest(growth, each) for name, each in PERCENTILES.items()}
        return {
            "accounts": growth.accounts,
            "restore": asdict(growth.restore) | {"rows_per_second": self.rows_per_second(growth)},
            "latency_ms": {name: _spread(growth.latency_ms(name)) for name in PERCENTILES},
            "over_fewest_percent": {name: asdict(each) if each else None for name, each in changes.items()},
            "cpu_ms_per_request": _spread(growth.cpu_ms()),
            "rounds": [_timed_as_json(each) for each in growth.rounds],
        }

    def _team_as_json(self, team: Teamwork) -> dict[str, Any]:
        return {
            "workers": team.workers,
            "rate": _spread(team.rate()),
            "rate_of_cores": _spread(team.rate_of_cores()),
            "factor": {
                "wall": _spread(self.factor(team, of_cores=False)),
                "cores": _spread(self.factor(team, of_cores=True)),
            },
            "waited": _spread(team.waited()),
            "cpu_ms_per_decision": _spread(team.cpu_ms()),
            "broker_cpu_ms_per_decision": _spread(team.broker_cpu_ms()),
            "generator_cpu_ms_per_decision": _spread(team.generator_cpu_ms()),
            "rounds": [asdict(each) for each in team.rounds],
        }


def _timed_as_json(timed: Timed) -> dict[str, Any]:
    figures = {name: value for name, value in vars(timed).items() if name != "intervals"}
    return figures | {"intervals": [PackedLatencies.of(each).text for each in timed.intervals]}


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    return asdict(spread) if spread else None
