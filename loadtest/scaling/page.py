"""The report as one HTML file that fetches nothing when it is opened; the terminal shows its tables as well."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from loadtest.peers.report import Spread
from loadtest.runs.chart import Axis, Line, line_chart
from loadtest.runs.document import document, table
from loadtest.scaling.bars import Bar, bar_chart
from loadtest.scaling.report import PERCENTILES, Growth, ScalingReport, Teamwork

NOTHING: Final = "-"
TITLE: Final = "Scaling: accounts and workers"


class Rows(NamedTuple):
    """A table before it is drawn."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def page(report: ScalingReport) -> str:
    """The whole document."""
    verdict = '<span class="good">pass</span>' if not report.failures() else '<span class="bad">no pass</span>'
    parts = [
        f"<h1>{TITLE}</h1>",
        f'<p class="soft">{escape(report.began)}; {escape(report.command)}</p>',
        f'<p class="verdict">Verdict: {verdict}</p>',
        *(f'<p class="bad">{escape(failure)}</p>' for failure in report.failures()),
        *(f'<p class="soft">Note: {escape(warning)}</p>' for warning in report.warnings()),
        _drawn(goals(report)),
    ]
    if report.growths:
        parts += ["<h2>Accounts</h2>", *(_soft(each) for each in growth_in_words(report)), _latency_chart(report)]
        parts += [_drawn(latency_rows(report)), _drawn(footprint_rows(report))]
    if report.teams:
        parts += ["<h2>Workers</h2>", _soft(report.proof()), _rate_chart(report), _drawn(team_rows(report))]
        parts += [_drawn(worker_rows(report))]
    facts = [[name, value] for name, value in report.machine.items()]
    plan = [[name.replace("_", " "), _value(value)] for name, value in report.plan.items()]
    parts += ["<h2>Machine and plan</h2>", table(["", ""], facts + plan), _every_round(report)]
    return document(TITLE, parts)


def growth_in_words(report: ScalingReport) -> list[str]:
    """How growth with accounts was measured."""
    plan = report.plan
    found = [
        f"{plan['rate']:g} requests per second, open loop, whatever the number of accounts; latencies of "
        f"{plan['seconds']:g} s after {plan['warmup']:g} s of warm-up, from the instant at which a request was due. "
        "Which account asks is "
        + ("drawn from all alike" if plan["hits"] == "uniform" else "drawn by Zipf's law")
        + ". Rows are the engine's own, of simulated accounts, and the same at the beginning of every round.",
        "Few accounts make many requests each, so that their rows grow while they are measured: "
        + "; ".join(
            f"{growth.accounts:,} accounts, {each.accounts_hit:,} of them hit"
            for growth in report.growths
            for each in growth.rounds[-1:]
        )
        + ".",
    ]
    if report.opening:
        one = report.opening
        found.append(
            f"By messages the engine opens {one.rate:,.0f} accounts a second ({one.accounts:,} in {one.seconds:g} s, "
            f"{1000 * one.cpu_seconds / one.accounts:.2f} ms of processor time each)."
        )
    return found


def goals(report: ScalingReport) -> Rows:
    """A line for each goal."""
    rows = [
        [
            each.goal,
            NOTHING if each.ratio is None else f"{each.ratio:.2f}",
            NOTHING if each.low is None or each.high is None else f"{each.low:.2f} to {each.high:.2f}",
            each.word,
        ]
        for each in report.verdicts()
    ]
    return Rows("Goals", ["goal", "ratio", "interval (95 %) or range", ""], rows)


def latency_rows(report: ScalingReport) -> Rows:
    """A line for each number of accounts."""
    rows = []
    for growth in report.growths:
        changes = [report.over_fewest(growth, percentile) for percentile in PERCENTILES.values()]
        rows.append(
            [
                f"{growth.accounts:,}",
                *[_spread(growth.latency_ms(name), 1) for name in PERCENTILES],
                *[
                    NOTHING
                    if growth is report.growths[0] or each is None
                    else f"{1 + each.percent / 100:.2f} ({1 + each.low / 100:.2f} to {1 + each.high / 100:.2f})"
                    for each in changes
                ],
            ]
        )
    columns = ["accounts", *(f"{name}, ms" for name in PERCENTILES), *(f"{name}, over fewest" for name in PERCENTILES)]
    return Rows("Latency: median of the rounds and range; ratios with 95 % intervals", columns, rows)


def footprint_rows(report: ScalingReport) -> Rows:
    """What so many accounts cost a worker beside time."""
    rows = []
    for growth in report.growths:
        restore, per_second = growth.restore, report.rows_per_second(growth)
        rows.append(
            [
                f"{growth.accounts:,}",
                _spread(growth.cpu_ms(), 2),
                _percent(Spread.of(each.waited for each in growth.rounds)),
                _spread(Spread.of(each.rss_mb for each in growth.rounds), 0),
                _spread(Spread.of(each.store_mb for each in growth.rounds), 1),
                f"{restore.row_bytes:,.0f}",
                f"{restore.seconds:,.1f}",
                f"{restore.cpu_seconds:,.1f}",
                NOTHING if per_second is None else f"{per_second:,.0f}",
            ]
        )
    columns = [
        "accounts", "CPU ms a request", "waited for a core", "memory, MB", "store, MB", "bytes a row",
        "cold start, s", "its CPU, s", "rows/s",
    ]  # fmt: skip
    return Rows("Worker: processor time, memory, store, and its first start from the changelog", columns, rows)


def team_rows(report: ScalingReport) -> Rows:
    """A line for each number of workers."""
    rows = []
    for team in report.teams:
        first = team is report.teams[0]
        rows.append(
            [
                f"{team.workers}",
                _spread(team.rate(), 0),
                _spread(team.rate_of_cores(), 0),
                NOTHING if first else _spread(report.factor(team, of_cores=False), 2),
                NOTHING if first else _spread(report.factor(team, of_cores=True), 2),
                _percent(team.waited()),
            ]
        )
    columns = ["workers", "rate, wall", "rate, a core each", "factor, wall", "factor, a core each", "waited for a core"]
    return Rows("Decisions per second: median of the rounds and range; factors within a round", columns, rows)


def worker_rows(report: ScalingReport) -> Rows:
    """Processor time for a decision."""
    rows = [
        [
            f"{team.workers}",
            _spread(team.cpu_ms(), 3),
            _spread(team.broker_cpu_ms(), 3),
            _spread(team.generator_cpu_ms(), 3),
        ]
        for team in report.teams
    ]
    return Rows("Processor time for a decision, ms", ["workers", "worker", "broker", "generator and probe"], rows)


def _latency_chart(report: ScalingReport) -> str:
    marks = [(float(growth.accounts), f"{growth.accounts:,}") for growth in report.growths]
    across = Axis("accounts", logarithmic=True, ticks=marks, tell=lambda accounts: f"{accounts:,.0f} accounts")
    lines = [
        Line(name, [(growth.accounts, _median(growth.latency_ms(name))) for growth in report.growths], colour)
        for colour, name in enumerate(PERCENTILES)
    ]
    return line_chart("Latency by accounts, median of the rounds", lines, across, Axis("ms"))


def _rate_chart(report: ScalingReport) -> str:
    bars = []
    for team in report.teams:
        for kind, spread, colour in (("wall", team.rate(), 0), ("a core each", team.rate_of_cores(), 2)):
            if spread:
                bars.append(Bar(f"{team.title}, {kind}", spread.median, spread.lowest, spread.highest, colour))
    return bar_chart("Decisions per second", bars, "per second")


def _every_round(report: ScalingReport) -> str:
    timed = [_timed_row(growth, at) for growth in report.growths for at in range(len(growth.rounds))]
    drained = [row for team in report.teams for row in _drained_rows(team)]
    parts = []
    if timed:
        columns = ["accounts", "round", "busy before, %", *(f"{name}, ms" for name in PERCENTILES), "p99 of sending",
                   "waited for a core", "not sent", "not decided", "approved"]  # fmt: skip
        parts.append(table(columns, timed))
    if drained:
        columns = ["workers", "round", "busy before, %", "worker", "partitions", "decided", "seconds", "CPU, s",
                   "waited for a core"]  # fmt: skip
        parts.append(table(columns, drained))
    return f"<details><summary>Every round</summary>{''.join(parts)}</details>"


def _timed_row(growth: Growth, at: int) -> list[str]:
    timed = growth.rounds[at]
    approved = timed.outcomes.get("approved", 0) / max(1, sum(timed.outcomes.values()))
    return [
        f"{growth.accounts:,}", str(timed.number), f"{timed.busy_percent:.0f}",
        *[f"{timed.latency_ms[name]:,.1f}" for name in PERCENTILES], f"{timed.send_lag_ms['p99']:,.1f}",
        _share(timed.waited), f"{timed.unsent:,}", f"{timed.missing:,}", f"{approved:.1%}",
    ]  # fmt: skip


def _drained_rows(team: Teamwork) -> list[list[str]]:
    return [
        [
            str(team.workers), str(each.number), f"{each.busy_percent:.0f}", worker.name, str(worker.partitions),
            f"{worker.decided:,}", f"{worker.seconds:,.2f}", f"{worker.cpu_seconds:,.2f}",
            _share(worker.waited),
        ]
        for each in team.rounds
        for worker in each.workers
    ]  # fmt: skip


def _spread(spread: Spread | None, decimals: int) -> str:
    return NOTHING if spread is None else spread.told(decimals)


def _percent(spread: Spread | None) -> str:
    return NOTHING if spread is None else f"{spread.median:.0%} ({spread.lowest:.0%} to {spread.highest:.0%})"


def _share(part: float | None) -> str:
    return NOTHING if part is None else f"{part:.0%}"


def _median(spread: Spread | None) -> float | None:
    return spread.median if spread else None


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _soft(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'


def _drawn(rows: Rows) -> str:
    return f'<p class="soft">{escape(rows.title)}</p>{table(rows.columns, rows.rows)}'
