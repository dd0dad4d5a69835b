"""`otb simulate`: plays card traffic against the running engine and times its decisions."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli import environment
from deploy.cli.failures import EXIT_FAILED
from deploy.cli.output import Reporter, print_json, results
from deploy.embedded import NoRunError
from deploy.embedded.discovery import current_run
from deploy.supervisor import recorded_pid
from loadtest.result import LoadResult
from loadtest.simulation import Simulation
from loadtest.simulation import simulate as play


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    rate: Annotated[float, typer.Option(min=0.1, help="Authorisation requests per second.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to send, warm-up excluded.")] = 30,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts to open for this run.")] = 1000,
    seed: Annotated[int, typer.Option(help="Equal seeds play equal traffic.")] = 1,
    warmup: Annotated[float, typer.Option(min=0, help="Seconds at the same rate that are not measured.")] = 2,
    *,
    authorizations_only: Annotated[
        bool, typer.Option("--authorizations-only", help="No presentments, reversals and payments in between.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Play card traffic and time the decisions, open loop.

    Opens accounts of its own, sends on schedule whatever the engine does, and measures from the intended send time to
    the decision seen by a read-committed consumer. Exits 1 when requests were not sent, not decided, or the engine did
    not keep up.
    """
    settings = environment.settings()
    cluster = environment.cluster(settings)
    environment.require_partitions(settings, cluster)
    try:
        worker_pid = recorded_pid("worker", current_run(settings).folder)
    except NoRunError:
        worker_pid = None
    reporter = Reporter()
    try:
        plan = Simulation(rate, seconds, accounts, seed, warmup, follow_ups=not authorizations_only)
        result = play(cluster, plan, reporter.count, worker_pid=worker_pid)
    finally:
        reporter.close()
    if as_json:
        print_json(result.as_json())
    else:
        show(result, results())
    if result.failures():
        raise typer.Exit(EXIT_FAILED)


def show(result: LoadResult, console: Console) -> None:
    """The result for people."""
    console.print(outcomes_table(result))
    console.print(latency_table(result))
    console.print(
        f"sent {result.sent:,}, unsent {result.unsent:,}, decided {result.decided:,}, shed {result.shed:,}; "
        f"{result.rate:,.0f} decisions/s of {result.offered_rate:,.0f} offered, {result.accounts:,} accounts"
    )
    if result.worker:
        console.print(f"worker: {result.worker.cpu_percent:.0f} % of a core, {result.worker.rss_mb:.0f} MB")
    failures = result.failures()
    console.print(f"[red]failed[/red]: {'; '.join(failures)}" if failures else "[green]passed[/green]")


def outcomes_table(result: LoadResult) -> Table:
    """Decisions by outcome and decline reason."""
    table = Table("decision", "reason", "requests", "share", title="Decisions", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, count in result.outcomes.items():
        outcome, _, reason = name.partition(":")
        table.add_row(outcome, reason, f"{count:,}", f"{count / max(1, result.decided):.2%}")
    return table


def latency_table(result: LoadResult) -> Table:
    """Latency percentiles in milliseconds, from the intended send time."""
    names = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}
    table = Table(title="Latency from intended send time, ms", title_justify="left")
    table.add_column("")
    for label in names.values():
        table.add_column(label, justify="right")
    table.add_row("decision", *(f"{result.latency_ms[name]:,.1f}" for name in names))
    table.add_row("of it, generator", *(f"{result.send_lag_ms[name]:,.1f}" for name in names))
    return table
