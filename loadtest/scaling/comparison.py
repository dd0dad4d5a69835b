"""Plays every number of accounts, and every number of workers, in every round: one at a time and interleaved, so that a
slow minute of the machine hits them all. All parts share one broker, which only the group being measured uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from agents.cores import usable
from loadtest import machine
from loadtest.runs import profile as profiles
from loadtest.runs.profile import Profile
from loadtest.scaling.backlog import Cores, Team
from loadtest.scaling.errors import ScalingError
from loadtest.scaling.growth import Crowd
from loadtest.scaling.hits import Hits
from loadtest.scaling.opening import Opening, opening
from loadtest.scaling.population import HISTORY, Population, Template, templates
from loadtest.scaling.process import now_ms
from loadtest.scaling.report import Growth, ScalingReport, Teamwork
from loadtest.scaling.worker import Servers

_SPARE: Final = 1.5
"""More requests than an account makes on average: few accounts come to the end of theirs."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long."""

    accounts: tuple[int, ...] = (1000, 1_000_000)  # none: no growth with accounts
    rate: float = 500.0  # requests per second
    seconds: float = 15.0  # timed
    warmup: float = 5.0  # before that, at the same rate
    hits: Hits = "uniform"
    workers: tuple[int, ...] = (1, 2)  # none: no growth with workers
    worker_accounts: int = 20_000
    backlog: int = 60_000  # requests
    openings: int = 20_000  # 0: not timed
    rounds: int = 3
    seed: int = 1
    partitions: int = 4

    def __post_init__(self) -> None:
        for name, values in (("accounts", self.accounts), ("workers", self.workers)):
            if any(each < 1 for each in values) or list(values) != sorted(set(values)):
                raise ScalingError(f"--{name}: give different whole numbers above 0, from the lowest to the highest")
        if len(self.accounts) == 1 or len(self.workers) == 1:
            raise ScalingError("one number of accounts, or of workers, has none to be compared with")
        if not (self.accounts or self.workers):
            raise ScalingError("neither accounts nor workers: nothing to measure")
        if self.workers and self.workers[-1] > self.partitions:
            raise ScalingError(f"{self.workers[-1]} workers for {self.partitions} partitions: some would have none")

    @property
    def profile(self) -> Profile:
        """The load on each number of accounts. Raises BadProfile."""
        return profiles.steady(self.rate, self.seconds, self.warmup)

    @property
    def requests_each(self) -> float:
        """Requests that an account makes in a round, where it makes most."""
        most = [self.profile.total / self.accounts[0]] if self.accounts else []
        return _SPARE * max([*most, *([self.backlog / self.worker_accounts] if self.workers else [])])


class View(Protocol):
    """Who watches."""

    def say(self, text: str) -> None:
        """Something happened."""

    def count(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of `what`."""


def run(plan: Plan, servers: Servers, command: str, view: View) -> ScalingReport:
    """All rounds. Raises ScalingError, BadProfile, Unreachable, NotOpened, or what ended a worker."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    profile = plan.profile
    view.say("making accounts and requests")
    made = templates(plan.requests_each, plan.seed, now_ms(), view.count)
    growths = _accounts(plan, profile, servers, made, view) if plan.accounts else []
    opened = _opening(plan, servers, made, view) if plan.openings else None
    teams = _workers(plan, servers, made, view) if plan.workers else []
    facts = {**asdict(plan), "history": HISTORY, "templates": len(made)}
    return ScalingReport(command, began, machine.facts(), facts, plan.seed, growths, teams, opened)


WARMING_UP: Final = 0
"""Number of a round that the first part of a run plays alone and nobody reports: a broker that has just started answers
slowly, and would do so to whoever comes first."""


def _accounts(plan: Plan, profile: Profile, servers: Servers, made: Sequence[Template], view: View) -> list[Growth]:
    crowds = [Crowd(servers, Population(made, size)) for size in plan.accounts]
    growths = [
        Growth(size, crowd.begin(view.say, view.count)) for size, crowd in zip(plan.accounts, crowds, strict=True)
    ]

    def play(number: int, which: int) -> None:
        played = crowds[which].play(number, profile, plan.hits, plan.seed + number)
        growths[which].rounds.append(played)
        view.say(
            f"  {plan.accounts[which]:,} accounts: p50 {played.latency_ms['p50']} ms, p99 {played.latency_ms['p99']} ms"
        )

    view.say("warming up")
    crowds[0].play(WARMING_UP, profile, plan.hits, plan.seed)
    interleaved(plan.rounds, len(crowds), play, lambda number: view.say(f"accounts, round {number} of {plan.rounds}"))
    return growths


def _opening(plan: Plan, servers: Servers, made: Sequence[Template], view: View) -> Opening:
    view.say(f"opening {plan.openings:,} accounts by messages")
    return opening(servers, Population(made, plan.openings), view.count)


def _workers(plan: Plan, servers: Servers, made: Sequence[Template], view: View) -> list[Teamwork]:
    cores = Cores.shared_out(usable(), plan.workers[-1])
    population = Population(made, plan.worker_accounts)
    teams = [Team(servers, population, size, cores) for size in plan.workers]
    found = [Teamwork(size) for size in plan.workers]

    def play(number: int, which: int) -> None:
        played = teams[which].play(number, plan.backlog, plan.seed + number)
        found[which].rounds.append(played)
        view.say(
            f"  {found[which].title}: {played.rate:,.0f}/s, "
            f"{played.rate_of_cores:,.0f} in a second of processor time of each"
        )

    if not plan.accounts:
        view.say("warming up")
        teams[0].play(WARMING_UP, plan.backlog, plan.seed)
    interleaved(plan.rounds, len(teams), play, lambda number: view.say(f"workers, round {number} of {plan.rounds}"))
    return found


def interleaved(rounds: int, parts: int, play: Callable[[int, int], None], announce: Callable[[int], None]) -> None:
    """`play(round, part)` for every part in every round; each round starts with another part."""
    for number in range(1, rounds + 1):
        announce(number)
        for turn in range(parts):
            play(number, (turn + number - 1) % parts)
