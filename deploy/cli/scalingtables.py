"""A run of `otb loadtest scaling` for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from loadtest.scaling import page
from loadtest.scaling.report import ScalingReport


def show(report: ScalingReport, console: Console) -> None:
    """Tables, how they were measured, and the verdict."""
    if report.growths:
        console.print(_table(page.latency_rows(report)))
        console.print(_table(page.footprint_rows(report)))
        for line in page.growth_in_words(report):
            console.print(line, markup=False, soft_wrap=True)
    if report.teams:
        console.print(_table(page.team_rows(report)))
        console.print(_table(page.worker_rows(report)))
        console.print(report.proof(), markup=False, soft_wrap=True)
    console.print(_table(page.goals(report)))
    for warning in report.warnings():
        console.print(f"[yellow]note[/yellow]: {warning}", soft_wrap=True)
    failures = report.failures()
    console.print(f"[red]failed[/red]: {'; '.join(failures)}" if failures else "[green]passed[/green]", soft_wrap=True)


def _table(rows: page.Rows) -> Table:
    drawn = Table(title=rows.title, title_justify="left")
    for name in rows.columns:
        drawn.add_column(name, justify="left" if name in {"goal", "accounts", "workers"} else "right", overflow="fold")
    for row in rows.rows:
        drawn.add_row(*row)
    return drawn
