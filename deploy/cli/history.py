"""`otb history`: months of labelled card traffic in files; needs no servers."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from deploy.cli.failures import UserError
from deploy.cli.output import Reporter, print_json, results
from loadtest.history import Order, write
from loadtest.history.page import page as picture


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(history)


def history(  # noqa: PLR0913  (one parameter an option)
    folder: Annotated[Path, typer.Argument(file_okay=False, help="A new folder for the files.")],
    accounts: Annotated[int, typer.Option(min=1, max=1_000_000, help="Cardholders.")] = 1000,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Simulated days.")] = 30,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.")] = datetime(
        2026, 1, 1, tzinfo=UTC
    ),
    seed: Annotated[int, typer.Option(help="Equal seeds make equal files.")] = 1,
    *,
    per_day: Annotated[float, typer.Option(min=0.01, max=1000, help="Requests per account and day.")] = 3.0,
    currency: Annotated[str, typer.Option(help="Of all accounts.")] = "USD",
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that make events; the files are the same.")
    ] = min(os.cpu_count() or 1, 4),
    columns: Annotated[
        bool, typer.Option("--columns", help="Also each day's requests as columns, for numpy (.npz).")
    ] = False,
    page: Annotated[Path | None, typer.Option("--page", dir_okay=False, help="Write a page with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Write months of simulated card traffic with the truth about every message, for training and analysis.

    One file of JSON lines for each day, and a manifest with counts and digests (docs/simulator.md). The folder appears
    when it is complete.
    """
    order = Order(accounts, days, start.date(), seed, per_day, currency)
    if page is not None and not page.parent.is_dir():
        raise UserError(f"{page} could not be written: {page.parent} is no folder")
    reporter = Reporter()
    try:
        document = orjson.loads(write(order, folder, processes, reporter.count, columns=columns))
        if page is not None:
            page.write_text(picture(folder, reporter.count), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page} could not be written: {error.strerror or error}") from error
    finally:
        reporter.close()
    if as_json:
        print_json(document)
    else:
        _show(document, folder)


def _show(document: dict[str, Any], folder: Path) -> None:
    console = results()
    for title, counts in (
        ("Events", document["events_by_type"]),
        ("Fraudulent requests", {kind: each["requests"] for kind, each in document["fraud_by_kind"].items()}),
        ("Payments", document["payments_by_kind"]),
    ):
        table = Table("kind", "number", title=title, title_justify="left")
        table.columns[1].justify = "right"
        for name, count in counts.items():
            table.add_row(name, f"{count:,}")
        console.print(table)
    size = sum(file["bytes"] for file in document["files"])
    console.print(
        f"{document['events']:,} events of {document['accounts']:,} accounts in {document['days']:,} days, "
        f"{document['fraud_share']:.2%} of requests fraudulent, {size / 1e6:,.0f} MB in {folder}"
    )
