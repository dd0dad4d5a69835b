"""`otb trial-balance` and `otb reconcile`: is the ledger balanced, and does it say what the engine's table says?
`otb rebuild-ledger` makes it again from the journal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from deploy import accounting, rebuilding
from deploy.cli import environment
from deploy.cli.failures import EXIT_FAILED
from deploy.cli.output import Reporter, print_json, results
from models.money import to_major
from sinks.ledger import reports
from sinks.ledger.reconciliation import Difference

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trial-balance")(trial_balance)
    app.command()(reconcile)
    app.command("rebuild-ledger")(rebuild_ledger)


def trial_balance(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Debits and credits of every ledger account. Exits 1 unless they are equal in every currency."""
    balance, counts = accounting.ask(
        environment.postgres_address(environment.settings()), accounting.balance_and_counts
    )
    if as_json:
        accounts = [asdict(row) | {"balance": row.balance} for row in balance.rows]
        result = {"accounts": accounts, "imbalance": balance.imbalance, "balanced": balance.balanced}
        print_json(result | {"entries": counts.entries, "postings": counts.postings})
    else:
        console = results()
        console.print(trial_balance_table(balance))
        console.print(f"{counts.entries:,} journal entries, {counts.postings:,} postings, {counts.accounts:,} accounts")
        console.print(
            "[green]balanced[/green]" if balance.balanced else f"[red]out of balance[/red]: {balance.imbalance}"
        )
    if not balance.balanced:
        raise typer.Exit(EXIT_FAILED)


def reconcile(
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for the sink to catch up.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare every account row with the ledger. Exits 1 when one differs.

    Waits until the sink has posted all that is committed, then reads the table's changelog from its beginning.
    """
    settings, run = environment.connected(environment.settings())
    reporter = Reporter()
    result = accounting.reconcile(
        settings,
        settings.cluster(run.kafka),
        settings.ledger_dsn(run.postgres_dsn),
        patience=patience,
        on_progress=reporter.say,
    )
    if as_json:
        print_json(asdict(result))
    else:
        console = results()
        if result.differences:
            console.print(differences_table(result.differences))
        verdict = f"{result.accounts:,} accounts, {len(result.differences):,} differences"
        console.print(f"[red]{verdict}[/red]" if result.differences else f"[green]{verdict}[/green]")
        size = result.row_bytes
        console.print(f"bytes of a row: p50 {size.p50:,}, p90 {size.p90:,}, p99 {size.p99:,}, largest {size.max:,}")
    if result.differences:
        raise typer.Exit(EXIT_FAILED)


def rebuild_ledger(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Fill an empty PostgreSQL database with the ledger, from the journal in Kafka.

    OTB_POSTGRES_DSN names the database; one that holds a ledger already is refused. Needs the whole journal: the topic
    journal-entries never expires as the engine makes it. Afterwards `otb sink` goes on from there, and where a rebuild
    was interrupted as well. Exits 1 when the ledger is out of balance or an account's entries have gaps.
    """
    settings, run = environment.connected(environment.settings())
    cluster = settings.cluster(run.kafka)
    environment.require_partitions(settings, cluster)
    reporter = Reporter()
    try:
        built = rebuilding.rebuild(settings, cluster, settings.ledger_dsn(run.postgres_dsn), reporter.count)
    finally:
        reporter.close()
    if as_json:
        print_json(asdict(built) | {"sound": built.sound})
    else:
        fault = f"[red]not sound[/red]: imbalance {built.imbalance}, {built.gaps} gaps"
        verdict = "[green]sound[/green]" if built.sound else fault
        results().print(
            f"{built.entries:,} journal entries, {built.postings:,} postings, {built.accounts:,} accounts from "
            f"{built.records:,} records in {built.seconds:,.1f} s; {built.dead_letters:,} dead letters; {verdict}",
            soft_wrap=True,
        )
    if not built.sound:
        raise typer.Exit(EXIT_FAILED)


def trial_balance_table(balance: reports.TrialBalance) -> Table:
    """Ledger accounts with debits, credits and balance in major units."""
    table = Table("ledger account", "currency", title="Trial balance", title_justify="left", show_footer=False)
    for name in ("debits", "credits", "balance"):
        table.add_column(name, justify="right")
    for row in balance.rows:
        amounts = (f"{to_major(amount, row.currency):,}" for amount in (row.debits, row.credits, row.balance))
        table.add_row(row.ledger_account, row.currency, *amounts)
    for currency, left in balance.imbalance.items():
        table.add_row("[bold]imbalance[/bold]", currency, "", "", f"[bold]{to_major(left, currency):,}[/bold]")
    return table


def differences_table(differences: list[Difference]) -> Table:
    """The first differences, in minor units."""
    table = Table("account", "what differs", title="Differences", title_justify="left")
    for name in ("table", "ledger"):
        table.add_column(name, justify="right")
    for found in differences[:_SHOWN]:
        table.add_row(found.account_id, found.kind, f"{found.table:,}", f"{found.ledger:,}")
    if len(differences) > _SHOWN:
        table.caption = f"and {len(differences) - _SHOWN:,} more (--json prints all)"
    return table
