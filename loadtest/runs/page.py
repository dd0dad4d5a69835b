"""The report as one HTML file that fetches nothing when it is opened."""

from __future__ import annotations

from html import escape
from typing import Final

from loadtest.runs.chart import Axis, Line, line_chart
from loadtest.runs.document import document, table
from loadtest.runs.report import LoadReport

_TIME: Final = Axis("seconds since the end of the warm-up")
_NAMES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "p99_99": "p99.99", "max": "max"}
_MARKED: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


def page(report: LoadReport) -> str:
    """The whole document."""
    setup = report.setup
    title = f"Load test: {setup.profile}, {setup.load}"
    parts = [
        _heading(report, title),
        _tiles(report),
        "<h2>Latency</h2>",
        _latency_over_time(report),
        _percentile_curve(report),
        "<h2>Throughput and backlog</h2>",
        _throughput(report),
        _backlog(report),
        "<h2>Processor and memory</h2>",
        _processor(report),
        _memory(report),
        _stages(report),
        _drift(report),
        _counts(report),
        _machine(report),
        _rows(report),
    ]
    return document(title, parts)


def _heading(report: LoadReport, title: str) -> str:
    setup, failures = report.setup, report.failures()
    verdict = '<span class="good">pass</span>' if not failures else '<span class="bad">no pass</span>'
    lines = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(report.began)}; {setup.seconds:g} s measured after {setup.warmup:g} s of warm-up; '
        f"{setup.accounts:,} accounts; seed {setup.seed}; {setup.processes} generator process"
        f"{'es' if setup.processes > 1 else ''}"
        f"{'; authorisation requests only' if setup.authorizations_only else ''}</p>",
        f'<p class="verdict">Verdict: {verdict}</p>',
        *(f'<p class="bad">{escape(failure)}</p>' for failure in failures),
        *(f'<p class="soft">Note: {escape(warning)}</p>' for warning in report.warnings()),
        '<p class="soft">A latency runs from the instant at which a request was due, whether or not it could be sent '
        "then, to the moment at which its committed decision was seen.</p>",
    ]
    return "".join(lines)


def _tiles(report: LoadReport) -> str:
    result = report.result
    tiles = {
        "p50": f"{result.latency_ms['p50']:,.3g} ms",
        "p99": f"{result.latency_ms['p99']:,.3g} ms",
        "p99.9": f"{result.latency_ms['p99_9']:,.3g} ms",
        "decided per second": f"{result.rate:,.0f}",
        "of offered": f"{result.offered_rate:,.0f}",
        "requests": f"{result.sent + result.unsent:,}",
        "not sent": f"{result.unsent:,}",
        "not decided": f"{result.missing + result.warmup_missing:,}",
        "shed": f"{result.shed:,}",
        "overflow": f"{result.overflow:,}",
    }
    if result.worker:
        tiles["worker CPU"] = f"{result.worker.cpu_percent:.0f} %"
        tiles["worker memory"] = f"{result.worker.rss_mb:,.0f} MB"
    items = [f"<li><b>{escape(value)}</b>{escape(name)}</li>" for name, value in tiles.items()]
    return f'<ul class="tiles">{"".join(items)}</ul>'


def _latency_over_time(report: LoadReport) -> str:
    """In the middle of each interval; an interval in which nothing was decided leaves a gap."""
    shown = {"p50": 0, "p99": 1, "p99_9": 3, "max": 2}
    lines = [
        Line(_NAMES[name], [(row.start + row.seconds / 2, row.latency_ms[name] or None) for row in report.intervals], c)
        for name, c in shown.items()
    ]
    return line_chart("Latency of the requests due in each interval", lines, _TIME, Axis("ms", logarithmic=True))


def _percentile_curve(report: LoadReport) -> str:
    """Against one in how many requests is slower, as is usual: a straight tail is an exponential one."""
    points = [(1 / (1 - percentile / 100), ms) for percentile, ms in report.curve if percentile < 100]
    ticks = [(1 / (1 - percentile / 100), f"{percentile:g} %") for percentile in _MARKED]
    across = Axis("percentile", True, ticks, lambda one_in: f"{100 * (1 - 1 / one_in):.6g} %")
    return line_chart("Latency by percentile", [Line("all requests", points, 0)], across, Axis("ms"))


def _throughput(report: LoadReport) -> str:
    rows = report.intervals
    lines = [
        Line("offered", [(row.start + row.seconds / 2, row.offered) for row in rows], 2, dashed=True),
        Line("sent", [(row.start + row.seconds / 2, row.sent) for row in rows], 0),
        Line("decided", [(row.start + row.seconds / 2, row.decided) for row in rows], 1),
    ]
    if report.result.shed:
        lines.append(Line("shed", [(row.start + row.seconds / 2, row.shed) for row in rows], 3))
    return line_chart("Requests per second", lines, _TIME, Axis("per second"))


def _backlog(report: LoadReport) -> str:
    lines = [
        Line("sent, not decided", [(row.start + row.seconds, row.outstanding) for row in report.intervals], 0),
        Line("consumer lag, all input topics", [(sample.at, sample.lag) for sample in report.samples], 1),
    ]
    return line_chart("Waiting", lines, _TIME, Axis("records"))


def _processor(report: LoadReport) -> str:
    lines = [
        Line("worker", [(sample.at, sample.worker_cpu) for sample in report.samples], 0),
        Line("all generators", [(sample.at, sample.generators_cpu) for sample in report.samples], 3, dashed=True),
    ]
    return line_chart("Processor time", lines, _TIME, Axis("per cent of one core"))


def _memory(report: LoadReport) -> str:
    line = Line("worker, resident", [(sample.at, sample.worker_rss_mb) for sample in report.samples], 0)
    return line_chart("Memory", [line], _TIME, Axis("MB"))


def _stages(report: LoadReport) -> str:
    if len(report.stages) < 2:
        return ""
    rows = [
        [
            stage.label,
            f"{stage.start:g} to {stage.end:g}",
            f"{stage.offered:,.0f}",
            f"{stage.decided:,.0f}",
            f"{stage.shed:,.0f}",
            f"{stage.outstanding:,}",
            *[f"{stage.latency_ms[name]:,.3g}" for name in _NAMES],
        ]
        for stage in report.stages
    ]
    columns = [
        "stage",
        "seconds",
        "offered/s",
        "decided/s",
        "shed/s",
        "waiting at its end",
        *(f"{n}, ms" for n in _NAMES.values()),
    ]
    return "<h2>Stages</h2>" + table(columns, rows)


def _drift(report: LoadReport) -> str:
    drift = report.drift
    if drift is None:
        return ""
    change = "too few samples" if drift.p99_change is None else (
        f"{drift.p99_change[0]:+.1f} % (95 %: {drift.p99_change[1]:+.1f} to {drift.p99_change[2]:+.1f})"
    )  # fmt: skip
    rows = [["p99, ms", f"{drift.p99_first_ms:,.3g}", f"{drift.p99_last_ms:,.3g}", change]]
    if drift.rss_first_mb is not None and drift.rss_last_mb is not None:
        slope = f"{drift.rss_mb_per_hour or 0:+,.1f} MB an hour"
        rows.append(["worker memory, MB", f"{drift.rss_first_mb:,.0f}", f"{drift.rss_last_mb:,.0f}", slope])
    return "<h2>Drift</h2>" + table(["", "first fifth", "last fifth", "change"], rows)


def _counts(report: LoadReport) -> str:
    result = report.result
    rows = [[name, f"{count:,}", f"{count / max(1, result.decided):.2%}"] for name, count in result.outcomes.items()]
    parts = ["<h2>Decisions</h2>", table(["decision", "requests", "share"], rows)]
    errors = [
        ["requests not sent", f"{result.unsent:,}"],
        ["of them refused by the broker", f"{report.refused:,}"],
        ["requests never decided", f"{result.missing + result.warmup_missing:,}"],
        ["decisions slower than the histogram holds", f"{result.overflow:,}"],
        *[[f"dead letters: {reason}", f"{count:,}"] for reason, count in report.dead_letters.items()],
    ]
    return "".join([*parts, "<h2>Errors</h2>", table(["", "count"], errors)])


def _machine(report: LoadReport) -> str:
    return "<h2>Machine</h2>" + table(["", ""], [[name, value] for name, value in report.machine.items()])


def _rows(report: LoadReport) -> str:
    rows = [
        [
            f"{row.start:g}", f"{row.offered:,.0f}", f"{row.sent:,.0f}", f"{row.decided:,.0f}", f"{row.shed:,.0f}",
            f"{row.outstanding:,}",
            *[f"{row.latency_ms[name]:,.3g}" for name in _NAMES],
        ]
        for row in report.intervals
    ]  # fmt: skip
    counted = ["offered/s", "sent/s", "decided/s", "shed/s", "waiting"]
    columns = ["from second", *counted, *(f"{n}, ms" for n in _NAMES.values())]
    return f"<details><summary>Every interval</summary>{table(columns, rows)}</details>"
