"""`otb demo`: the whole system from nothing, under load, with every promise checked."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli import environment
from deploy.cli.failures import EXIT_FAILED
from deploy.cli.ledger import differences_table, trial_balance_table
from deploy.cli.output import Reporter, print_json, results
from deploy.cli.simulate import latency_table, outcomes_table
from deploy.demonstration import Demonstration, demonstrate


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run's folder: logs and data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Start everything, play 30 s of card traffic at 500/s on 1,000 accounts, and check every promise.

    Exits 1 when a request was not decided, the ledger is out of balance, or an account differs between table and
    ledger.
    """
    reporter = Reporter()
    try:
        seen = demonstrate(environment.settings(), reporter.say, reporter.count, keep=keep)
    finally:
        reporter.close()
    if as_json:
        print_json(seen.as_json())
    else:
        _show(seen)
    if seen.failures():
        raise typer.Exit(EXIT_FAILED)


def _show(seen: Demonstration) -> None:
    console = results()
    load = seen.load
    console.print(outcomes_table(load))
    console.print(latency_table(load))
    if load.worker:
        console.print(f"worker: {load.worker.cpu_percent:.0f} % of a core, {load.worker.rss_mb:.0f} MB")
    console.print(trial_balance_table(seen.trial_balance))
    console.print(f"{seen.postings:,} postings written in {seen.entries:,} journal entries")
    console.print(f"{seen.accounts:,} accounts reconciled, {len(seen.differences):,} differences")
    if seen.differences:
        console.print(differences_table(seen.differences))
    failures = seen.failures()
    if failures:
        console.print(f"[bold red]FAILED[/bold red] {'; '.join(failures)}", soft_wrap=True)
        return
    console.print(
        f"[bold green]PASSED[/bold green] {load.decided:,} of {load.sent:,} requests decided, "
        f"p99 {load.latency_ms['p99']:.1f} ms, debits equal credits, table equals ledger",
        soft_wrap=True,
    )
