"""`otb loadtest`: open-loop load on a running engine, search for its highest rate, comparison of reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli import environment
from deploy.cli.documents import check_writable, console_beside, write_document, write_text
from deploy.cli.failures import EXIT_FAILED, UserError
from deploy.cli.loadtables import show_comparison, show_found, show_report
from deploy.cli.loadview import LoadView
from deploy.cli.peers import peers
from deploy.cli.scaling import scaling
from deploy.embedded import NoRunError
from deploy.embedded.discovery import current_run
from deploy.supervisor import recorded_pid
from loadtest.runs import profile as profiles
from loadtest.runs import report as reports
from loadtest.runs.comparison import compare
from loadtest.runs.conduct import conduct
from loadtest.runs.crew import GeneratorDied
from loadtest.runs.gauges import NotIdle
from loadtest.runs.page import page
from loadtest.runs.plan import LoadTest, Target
from loadtest.runs.profile import BadProfile, Profile
from loadtest.runs.report import LoadReport, UnreadableReport
from loadtest.runs.search import Bounds, Found, Trial, find_max

Seconds = Annotated[float, typer.Option(min=0.1, help="How long to send, warm-up excluded.")]
Warmup = Annotated[float, typer.Option(min=0, help="Seconds at the first rate that are not measured.")]
Accounts = Annotated[int, typer.Option(min=1, help="Accounts to open for each run.")]
Seed = Annotated[int, typer.Option(help="Equal seeds (and processes) play equal traffic.")]
Processes = Annotated[int, typer.Option(min=1, max=64, help="Generator processes that share the load.")]
Only = Annotated[bool, typer.Option("--authorizations-only", help="No presentments, reversals, payments in between.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the report as JSON to this file (-: to stdout).")]
Html = Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write the report with plots to this file.")]
More = Annotated[list[Path] | None, typer.Option(help="Another run like A (or B); may be given several times.")]
WorkerPid = Annotated[int | None, typer.Option(help="Worker process to measure; default: that of `otb up`.")]


def register(app: typer.Typer) -> None:
    """Add the command with its subcommands."""
    app.add_typer(group(), name="loadtest")


def group() -> typer.Typer:
    """The subcommands."""
    commands = typer.Typer(
        no_args_is_help=True,
        help="Open-loop load on the running engine: latencies from the intended send time, over time, as a report.",
    )
    for command in (steady, ramp, step, soak):
        commands.command()(command)
    commands.command("find-max")(search)
    commands.command("compare")(compare_reports)
    commands.command("html")(render)
    commands.command()(peers)
    commands.command()(scaling)
    return commands


def steady(  # noqa: PLR0913  (one parameter an option)
    *,
    rate: Annotated[float, typer.Option(min=0.1, help="Authorisation requests per second.")] = 500,
    seconds: Seconds = 30,
    warmup: Warmup = 5,
    accounts: Accounts = 1000,
    seed: Seed = 1,
    processes: Processes = 1,
    authorizations_only: Only = False,
    json: Json = None,
    html: Html = None,
    worker_pid: WorkerPid = None,
) -> None:
    """One rate. Exits 1 when the run is no pass: requests unsent, undecided or too slow, or an engine left behind."""
    with mistakes():
        options = Options(accounts, seed, processes, not authorizations_only, worker_pid)
        run_and_report(profiles.steady(rate, seconds, warmup), options, json, html)


def ramp(  # noqa: PLR0913  (one parameter an option)
    *,
    first: Annotated[float, typer.Option("--from", min=0.1, help="Requests per second at the beginning.")] = 100,
    last: Annotated[float, typer.Option("--to", min=0.1, help="Requests per second at the end.")] = 2000,
    seconds: Seconds = 60,
    warmup: Warmup = 5,
    accounts: Accounts = 1000,
    seed: Seed = 1,
    processes: Processes = 1,
    authorizations_only: Only = False,
    json: Json = None,
    html: Html = None,
    worker_pid: WorkerPid = None,
) -> None:
    """From one rate to another, evenly, judged in ten parts."""
    with mistakes():
        options = Options(accounts, seed, processes, not authorizations_only, worker_pid)
        run_and_report(profiles.ramp(first, last, seconds, warmup), options, json, html)


def step(  # noqa: PLR0913  (one parameter an option)
    *,
    rates: Annotated[str, typer.Option(help="Requests per second, one after the other: 500,1000,2000")],
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each step.")] = 20,
    warmup: Warmup = 5,
    accounts: Accounts = 1000,
    seed: Seed = 1,
    processes: Processes = 1,
    authorizations_only: Only = False,
    json: Json = None,
    html: Html = None,
    worker_pid: WorkerPid = None,
) -> None:
    """Several rates one after the other, each judged by itself."""
    with mistakes():
        options = Options(accounts, seed, processes, not authorizations_only, worker_pid)
        run_and_report(profiles.step(numbers(rates), seconds, warmup), options, json, html)


def soak(  # noqa: PLR0913  (one parameter an option)
    *,
    rate: Annotated[float, typer.Option(min=0.1, help="Authorisation requests per second.")] = 200,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to send, warm-up excluded.")] = 60,
    warmup: Warmup = 10,
    accounts: Accounts = 1000,
    seed: Seed = 1,
    processes: Processes = 1,
    authorizations_only: Only = False,
    json: Json = None,
    html: Html = None,
    worker_pid: WorkerPid = None,
) -> None:
    """One rate for long, with the drift of p99 and of the worker's memory."""
    with mistakes():
        options = Options(accounts, seed, processes, not authorizations_only, worker_pid)
        run_and_report(profiles.soak(rate, minutes * 60, warmup), options, json, html)


def search(  # noqa: PLR0913  (one parameter an option)
    *,
    p99: Annotated[float, typer.Option(min=0.001, help="The bound, in milliseconds.")],
    start: Annotated[float, typer.Option(min=0.1, help="First rate tried, requests per second.")] = 500,
    lowest: Annotated[float, typer.Option(min=0.1, help="Lowest rate tried.")] = 10,
    highest: Annotated[float, typer.Option(min=0.1, help="Highest rate tried.")] = 100_000,
    precision: Annotated[float, typer.Option(min=0.01, max=1, help="Stop when the bracket is this narrow.")] = 0.1,
    runs: Annotated[int, typer.Option(min=3, max=100, help="Most runs, the repeats at the end included.")] = 12,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each run, warm-up excluded.")] = 15,
    warmup: Warmup = 3,
    accounts: Accounts = 1000,
    seed: Seed = 1,
    processes: Processes = 1,
    authorizations_only: Only = False,
    json: Json = None,
    html: Html = None,
    worker_pid: WorkerPid = None,
) -> None:
    """The highest rate whose p99 stays within a bound, proved by a repeat. Exits 1 when there is none.

    --json and --html take the run that proved it.
    """
    with mistakes():
        if lowest > highest:
            raise UserError(f"--lowest {lowest:g} is above --highest {highest:g}")
        options = Options(accounts, seed, processes, not authorizations_only, worker_pid)
        bounds = Bounds(p99, start, lowest, highest, precision, runs)
        check_writable(json, html)
        with closing(LoadView()) as view:
            trials = Trials(options, bounds, seconds, warmup, view)
            found = find_max(trials.measure, bounds)
        write_document(json, found_document(found, bounds, trials.proof))
        if html and trials.proof:
            write_text(html, page(trials.proof))
        show_found(found, bounds, console_beside(json))
    if found.rate is None:
        raise typer.Exit(EXIT_FAILED)


def compare_reports(
    a: Annotated[Path, typer.Argument(help="Report of the load test before.")],
    b: Annotated[Path, typer.Argument(help="Report of the load test after.")],
    more_a: Annotated[
        list[Path] | None, typer.Option(help="Another run of the same kind as A; may be repeated.")
    ] = None,
    more_b: Annotated[
        list[Path] | None, typer.Option(help="Another run of the same kind as B; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling; equal seeds give equal numbers.")] = 1,
    worse_by: Annotated[
        float | None, typer.Option(min=0, help="Exit 1 when B's p99 is surely more than this per cent above A's.")
    ] = None,
    *,
    json: Annotated[Path | None, typer.Option("--json", help="Write the comparison to this file (-: stdout).")] = None,
) -> None:
    """Two reports (files written with --json) side by side, with 95 % confidence intervals of every change.

    The intervals come from a block bootstrap over the rows of each report; with several runs of a kind, over the runs
    as well.
    """
    with mistakes():
        before = [reports.read(path) for path in (a, *(more_a or ()))]
        after = [reports.read(path) for path in (b, *(more_b or ()))]
        compared = compare(before, after, seed)
        write_document(json, compared.as_json())
        show_comparison(compared, console_beside(json))
    change = compared.line("p99 latency").change
    if worse_by is not None and change is not None and change.low > worse_by:
        raise typer.Exit(EXIT_FAILED)


def render(
    report: Annotated[Path, typer.Argument(help="A report written with --json.")],
    html: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """A report with plots, made from its JSON."""
    with mistakes():
        write_text(html, page(reports.read(report)))


@dataclass(frozen=True, slots=True)
class Options:
    """What all runs have in common."""

    accounts: int
    seed: int
    processes: int
    follow_ups: bool
    worker_pid: int | None

    def test(self, profile: Profile) -> LoadTest:
        return LoadTest(profile, self.accounts, self.seed, self.processes, self.follow_ups)

    def target(self) -> Target:
        """The running engine; raises NoRunError, PartitionMismatch."""
        settings = environment.settings()
        cluster = environment.cluster(settings)
        environment.require_partitions(settings, cluster)
        pid = self.worker_pid
        if pid is None:
            with suppress(NoRunError):
                pid = recorded_pid("worker", current_run(settings).folder)
        return Target(cluster, settings.app_id, pid)


class Trials:
    """Runs of a search, and the one that proved its answer."""

    def __init__(self, options: Options, bounds: Bounds, seconds: float, warmup: float, view: LoadView) -> None:
        self._options = options
        self._bounds = bounds
        self._seconds = seconds
        self._warmup = warmup
        self._view = view
        self._target = options.target()
        self._number = 0
        self.proof: LoadReport | None = None

    def measure(self, rate: float, repeat: bool) -> Trial:
        """One steady run."""
        self._number += 1
        name = f"run {self._number} of at most {self._bounds.most_runs}: {rate:,.1f}/s{' again' if repeat else ''}"
        self._view.title = name
        report = conduct(
            self._target, self._options.test(profiles.steady(rate, self._seconds, self._warmup)), self._view
        )
        self._view.end_run()
        p99, failures = report.result.latency_ms["p99"], tuple(report.failures())
        within = not failures and p99 <= self._bounds.p99_ms
        if within and repeat:
            self.proof = report
        self._view.say(f"{name}: p99 {p99:,.1f} ms, {'within' if within else 'not within'} the bound")
        return Trial(rate, p99, report.result.rate, failures, repeat, within)


def run_and_report(profile: Profile, options: Options, json: Path | None, html: Path | None) -> None:
    """One load test with everything that follows; raises typer.Exit when it is no pass."""
    check_writable(json, html)
    test, target = options.test(profile), options.target()
    with closing(LoadView()) as view:
        view.title = f"{profile.name}, {profile.mean_rate:,.0f} requests per second on average"
        report = conduct(target, test, view)
    write_document(json, report.as_json())
    if html:
        write_text(html, page(report))
    show_report(report, console_beside(json))
    if not report.passed:
        raise typer.Exit(EXIT_FAILED)


def numbers(text: str) -> list[float]:
    """`500,1000` as numbers; raises UserError."""
    try:
        return [float(each) for each in text.split(",") if each.strip()]
    except ValueError as error:
        raise UserError(f"--rates {text}: give numbers with commas between them, such as 500,1000,2000") from error


@contextmanager
def mistakes() -> Iterator[None]:
    """Errors of load tests as errors of the user."""
    try:
        yield
    except (BadProfile, GeneratorDied, NotIdle, UnreadableReport) as error:
        raise UserError(str(error)) from error


def found_document(found: Found, bounds: Bounds, proof: LoadReport | None) -> dict[str, Any]:
    """A search ready for JSON."""
    return {
        "bounds": asdict(bounds),
        "rate": found.rate,
        "note": found.note,
        "trials": [asdict(trial) for trial in found.trials],
        "proof": proof.as_json() if proof else None,
    }
