"""The report as one HTML file that fetches nothing when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from loadtest.runs.chart import Axis, Line, line_chart
from loadtest.runs.report import LoadReport

_TIME: Final = Axis("seconds since the end of the warm-up")
_NAMES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "p99_99": "p99.99", "max": "max"}
_MARKED: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--line:#d9dee7;--card:#fff;--back:#f5f6f9;
--c0:#2563c9;--c1:#c2410c;--c2:#0f8a5f;--c3:#8b3fc0;--good:#0f8a5f;--bad:#c22f2f}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#98a2b3;--line:#333b4a;--card:#1b212c;--back:#12161e;
--c0:#7aa7f7;--c1:#f59a5b;--c2:#4cc99a;--c3:#c79bf0;--good:#4cc99a;--bad:#f28b82}}
body{margin:0 auto;padding:1.5rem;max-width:60rem;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.3rem 0}.soft,.none,figcaption{color:var(--soft)}
.verdict{font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0;padding:0}
.tiles li{list-style:none;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.5rem .7rem}
.tiles b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}
figure{margin:1rem 0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem}
svg{display:block;width:100%;height:auto}.grid{stroke:var(--line);stroke-width:1}
.axis,.mark{stroke:var(--soft);stroke-width:1}
.tick,.label{fill:var(--soft);font-size:12px}.l{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.dots circle{fill:currentColor;opacity:0}.dots circle:hover,.lone circle{opacity:1}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0 0;padding:0;list-style:none}
.legend i{display:inline-block;width:1.4rem;border-top:3px solid currentColor;vertical-align:middle;margin-right:.4rem}
.legend i.dashed{border-top-style:dashed}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}
details summary{cursor:pointer;margin:1.5rem 0 .5rem}
"""


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
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(parts)}\n</body></html>\n'


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
        "waiting at its end",
        *(f"{n}, ms" for n in _NAMES.values()),
    ]
    return "<h2>Stages</h2>" + _table(columns, rows)


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
    return "<h2>Drift</h2>" + _table(["", "first fifth", "last fifth", "change"], rows)


def _counts(report: LoadReport) -> str:
    result = report.result
    rows = [[name, f"{count:,}", f"{count / max(1, result.decided):.2%}"] for name, count in result.outcomes.items()]
    parts = ["<h2>Decisions</h2>", _table(["decision", "requests", "share"], rows)]
    errors = [
        ["requests not sent", f"{result.unsent:,}"],
        ["of them refused by the broker", f"{report.refused:,}"],
        ["requests never decided", f"{result.missing + result.warmup_missing:,}"],
        ["decisions slower than the histogram holds", f"{result.overflow:,}"],
        *[[f"dead letters: {reason}", f"{count:,}"] for reason, count in report.dead_letters.items()],
    ]
    return "".join([*parts, "<h2>Errors</h2>", _table(["", "count"], errors)])


def _machine(report: LoadReport) -> str:
    return "<h2>Machine</h2>" + _table(["", ""], [[name, value] for name, value in report.machine.items()])


def _rows(report: LoadReport) -> str:
    rows = [
        [
            f"{row.start:g}", f"{row.offered:,.0f}", f"{row.sent:,.0f}", f"{row.decided:,.0f}", f"{row.outstanding:,}",
            *[f"{row.latency_ms[name]:,.3g}" for name in _NAMES],
        ]
        for row in report.intervals
    ]  # fmt: skip
    columns = ["from second", "offered/s", "sent/s", "decided/s", "waiting", *(f"{n}, ms" for n in _NAMES.values())]
    return f"<details><summary>Every interval</summary>{_table(columns, rows)}</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
