"""Load tests, searches and comparisons for people."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.cli.simulate import outcomes_table
from loadtest.runs.comparison import Comparison
from loadtest.runs.report import LoadReport
from loadtest.runs.search import Bounds, Found

_NAMES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "p99_99": "p99.99", "max": "max"}
_OF_STAGES: Final = ("p50", "p99", "p99_9", "max")  # as many as fit beside the rates


def show_report(report: LoadReport, console: Console) -> None:
    """A report for people."""
    result = report.result
    console.print(outcomes_table(result))
    console.print(latency_table(report))
    if len(report.stages) > 1:
        console.print(stages_table(report))
    console.print(
        f"sent {result.sent:,}, unsent {result.unsent:,}, decided {result.decided:,}, "
        f"shed {result.shed:,}, overflow {result.overflow:,}; "
        f"{result.rate:,.0f} decisions/s of {result.offered_rate:,.0f} offered, {result.accounts:,} accounts"
    )
    lags = [sample.lag for sample in report.samples if sample.lag is not None]
    if lags:
        console.print(f"consumer lag: {max(lags):,} records at most, {lags[-1]:,} at the end")
    if result.worker:
        console.print(f"worker: {result.worker.cpu_percent:.0f} % of a core, {result.worker.rss_mb:.0f} MB")
    if report.dead_letters:
        console.print(f"dead letters: {', '.join(f'{count:,} {name}' for name, count in report.dead_letters.items())}")
    if report.drift:
        console.print(drift_line(report))
    for warning in report.warnings():
        console.print(f"[yellow]note[/yellow]: {warning}", soft_wrap=True)
    failures = report.failures()
    console.print(f"[red]failed[/red]: {'; '.join(failures)}" if failures else "[green]passed[/green]", soft_wrap=True)


def latency_table(report: LoadReport) -> Table:
    """Percentiles in milliseconds, from the intended send time."""
    table = _columns("Latency from intended send time, ms", "", *_NAMES.values())
    for name, values in (("decision", report.result.latency_ms), ("of it, generator", report.result.send_lag_ms)):
        table.add_row(name, *(f"{values[each]:,.1f}" for each in _NAMES))
    return table


def stages_table(report: LoadReport) -> Table:
    """A line for each step, or tenth of a ramp or soak."""
    table = _columns("Stages", "stage", "offered/s", "decided/s", "waiting", *(_NAMES[name] for name in _OF_STAGES))
    for stage in report.stages:
        latencies = (f"{stage.latency_ms[each]:,.1f}" for each in _OF_STAGES)
        table.add_row(
            stage.label, f"{stage.offered:,.0f}", f"{stage.decided:,.0f}", f"{stage.outstanding:,}", *latencies
        )
    return table


def drift_line(report: LoadReport) -> str:
    """What changed from the first to the last fifth of a soak."""
    drift = report.drift
    assert drift is not None  # noqa: S101  (only called for a soak)
    line = f"drift: p99 {drift.p99_first_ms:,.1f} → {drift.p99_last_ms:,.1f} ms"
    if drift.p99_change:
        percent, low, high = drift.p99_change
        line += f" ({percent:+.1f} %, 95 % interval {low:+.1f} to {high:+.1f} %)"
    if drift.rss_first_mb is not None and drift.rss_last_mb is not None:
        line += f"; worker memory {drift.rss_first_mb:,.0f} → {drift.rss_last_mb:,.0f} MB"
    if drift.rss_mb_per_hour is not None:
        line += f" ({drift.rss_mb_per_hour:+,.1f} MB an hour)"
    return line


def show_found(found: Found, bounds: Bounds, console: Console) -> None:
    """A search for people."""
    table = _columns(f"Runs, p99 bound {bounds.p99_ms:g} ms", "run", "rate", "p99, ms", "decided/s", "within the bound")
    for number, trial in enumerate(found.trials, 1):
        verdict = "yes" if trial.within else f"no{': ' + trial.failures[0] if trial.failures else ''}"
        name = f"{number}{' (repeat)' if trial.repeat else ''}"
        table.add_row(name, f"{trial.rate:,.1f}", f"{trial.p99_ms:,.1f}", f"{trial.decided:,.0f}", verdict)
    console.print(table)
    if found.rate is None:
        console.print(f"[red]failed[/red]: no rate found: {found.note}", soft_wrap=True)
    else:
        console.print(
            f"[green]highest rate within the bound[/green]: {found.rate:,.1f}/s, proved by a repeat; {found.note}",
            soft_wrap=True,
        )


def show_comparison(compared: Comparison, console: Console) -> None:
    """A comparison for people."""
    table = _columns("B against A", "figure", "A", "B", "change", "95 % interval", "verdict")
    for line in compared.lines:
        change = line.change
        if change is None:
            table.add_row(line.name, "", "", "", "", line.verdict)
            continue
        table.add_row(
            line.name,
            f"{change.before:,.4g} {line.unit}",
            f"{change.after:,.4g} {line.unit}",
            f"{change.percent:+.1f} %",
            f"{change.low:+.1f} to {change.high:+.1f} %",
            line.verdict,
        )
    console.print(table)
    for note in compared.notes:
        console.print(f"[yellow]note[/yellow]: {note}", soft_wrap=True)


def _columns(title: str, first: str, *columns: str) -> Table:
    table = Table(first, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table
