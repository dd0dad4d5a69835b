"""The report for people: a table on the terminal, and docs/peers.md."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from loadtest.peers.report import PeerResult, PeersReport, Spread, Verdict

NOTHING = "-"
_HOW = """\
- **The job** (`loadtest/peers/job.py`): one row for each account (limit, amount held, the last 16 answers by request
  id); a request is approved if it fits into what is left; a repeated request gets the remembered answer; the new row
  goes to a changelog topic and the decision to a decisions topic. JSON everywhere, keyed by account id.
- **One peer at a time**, each as one process beside the same broker, with topics, consumer group and folder of its own
  in every round. Rounds are interleaved, and each starts with another peer.
- **Highest rate**: the input is kept about a second ahead of the peer. After at least {settle:g} s of that, once the
  rate no longer grows, the decisions of the next {capacity_seconds:g} s are counted, by the broker's timestamps.
- **Quiet** for {quiet:g} s after that: what the flood left is written to disk, and the broker compacts its logs.
- **Latency**: open loop. Requests are due at fixed instants whatever the peer does; a latency counts from that instant
  to the moment a read-committed consumer on the same machine sees the decision. {seconds:g} s for each rate, after
  {warmup:g} s of the same. A rate above a peer's highest is left out: only a growing queue would be seen.
- **Audit**: after each round both topics are read whole (read committed) and compared with the job's own rules: every
  request decided, once, and rightly; one record in a hundred is a repeat.
- **Ratios** are ours over theirs within a round; the table has their median over the rounds.
"""
_FAIRNESS = """\
- Sender, probe, broker and peer share the machine's cores: with few of them a peer that leaves more to the others looks
  better than it would alone. All peers have the same company.
- Plain Faust has its table in memory, and every setting is Faust's own default, as in its documentation.
- Kafka Streams has one stream thread, RocksDB, and producers with 1 ms of linger instead of its own 100 ms, which would
  be added to every answer under at_least_once. Its JVM collects memory as the broker's does.
- Quix Streams' default commit interval is 5 s, and an exactly-once answer is seen only after a commit.
- The bare loop holds its rows decoded in a dict and uses this project's fenced transactions: aiokafka alone cannot give
  the guarantee (it cannot name the member and generation that offsets were fetched under).
- Ours appends decisions before its transaction, each partition's in one batch with what follows from them; whoever gets
  the partition of a killed one commits that and decides nothing again
  (`docs/decisions/0023-decisions-are-released-before-their-transaction.md`). Readers of committed records see them at
  once, and each once.
- Ours stays on one core, as the worker of `otb up` does; so does the bare loop.
- Ours runs the worker's whole machinery, metrics included; only the decisions themselves are the minimal job's.
"""


def table(report: PeersReport) -> Table:
    """The comparison as a table for the terminal."""
    drawn = Table(title="The same job, peer by peer (median, lowest to highest of the rounds)")
    for name in _columns(report):
        drawn.add_column(name, justify="left" if name in {"peer", "guarantee"} else "right", overflow="fold")
    for peer in report.peers:
        drawn.add_row(*_cells(report, peer))
    return drawn


def goals(report: PeersReport) -> list[str]:
    """One line for each goal."""
    return [
        f"{_met(verdict)}: {verdict.goal}" + (f" (ratio {_plain(verdict.ratio, 2)})" if verdict.ratio else "")
        for verdict in report.verdicts()
    ]


def disturbance(report: PeersReport) -> str:
    """A warning if the machine was doing other work, else nothing."""
    busy = report.busy()
    if busy is None or not report.disturbed():
        return ""
    return (
        f"The machine was busy with other work: {busy.median:.0f} % of it before half of the parts, "
        f"{busy.highest:.0f} % at most. Do not rely on these figures."
    )


def markdown(report: PeersReport) -> str:
    """docs/peers.md, whole."""
    parts = [
        "# Peers",
        "The same minimal authorisation job in other stream processors and on this engine, in one run on one machine. "
        "This page is written by the run; figures of another machine differ, ratios less so.",
        _command(report),
        *([f"**{warning}**"] if (warning := disturbance(report)) else []),
        "## Result",
        _markdown_table(_columns(report), [_cells(report, peer) for peer in report.peers]),
        "Median of the rounds, in brackets lowest to highest (of p99); latencies in milliseconds, rates in decisions a "
        "second. “Ours over it” above 1 is more than the peer has: good for a rate, bad for a latency.",
        "## Goals",
        _markdown_table(
            ["goal", "ratio", "met"],
            [[verdict.goal, _plain(verdict.ratio, 2), _met(verdict)] for verdict in report.verdicts()],
        ),
        "## Audit",
        _audit(report),
        "## How it was measured",
        _HOW.format(**report.plan).rstrip(),
        "## What to keep in mind",
        _FAIRNESS.rstrip(),
        "## Every round",
        _rounds(report),
        "## Machine and versions",
        _machine(report),
    ]
    return "\n\n".join(parts) + "\n"


def _columns(report: PeersReport) -> list[str]:
    timed = [f"p50 / p99 at {rate:,}/s" for rate in report.rates]
    over = [f"ours over it: p99 at {rate:,}/s" for rate in report.rates]
    return ["peer", "guarantee", *timed, "highest rate", *over, "ours over it: rate"]


def _cells(report: PeersReport, peer: PeerResult) -> list[str]:
    if peer.unavailable:
        return [peer.title, f"not set up: {peer.unavailable}", *[NOTHING] * (2 * len(report.rates) + 2)]
    return [
        peer.title,
        peer.guarantee,
        *[_latency(peer, rate) for rate in report.rates],
        _plain(peer.rate(), 0),
        *[_plain(report.p99_ratio(peer.name, rate), 2) for rate in report.rates],
        _plain(report.rate_ratio(peer.name), 2),
    ]


def _latency(peer: PeerResult, rate: int) -> str:
    p50, p99 = peer.latency_ms(rate, "p50"), peer.latency_ms(rate, "p99")
    if p50 is None or p99 is None:
        highest = peer.rate()
        return "above its rate" if highest and highest.median < rate * 1.05 else NOTHING
    return f"{_ms(p50.median)} / {_ms(p99.median)}" + (
        f" ({_ms(p99.lowest)} to {_ms(p99.highest)})" if p99.rounds > 1 else ""
    )


def _ms(figure: float) -> str:
    """Milliseconds, with no more digits than mean something."""
    return f"{figure:,.1f}" if figure < 100 else f"{figure:,.0f}"


def _plain(spread: Spread | None, decimals: int) -> str:
    return NOTHING if spread is None else spread.told(decimals)


def _met(verdict: Verdict) -> str:
    return {True: "met", False: "not met", None: "not measured"}[verdict.met]


def _command(report: PeersReport) -> str:
    return f"Run on {report.began} with:\n\n```\n{report.command}\n```"


def _audit(report: PeersReport) -> str:
    lines = []
    for peer in report.peers:
        audits = [each.audit for each in peer.rounds if each.audit]
        requests = sum(audit.requests for audit in audits)
        clean = f"{requests:,} requests in {_rounds_in_words(len(audits))}, "
        clean += "each decided once and rightly" if all(audit.clean for audit in audits) else "not all clean"
        lines.append(f"- {peer.title}: {clean if audits else 'nothing to audit'}")
        lines += [f"  - {failure}" for failure in peer.failures()]
    return "\n".join(lines)


def _rounds_in_words(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _rounds(report: PeersReport) -> str:
    rows = []
    for peer in report.peers:
        for played in peer.rounds:
            capacity, timed = played.capacity, [played.timed.get(rate) for rate in report.rates]
            rows.append(
                [
                    peer.name,
                    str(played.number),
                    _number(played.busy_percent, 0),
                    _number(played.start_seconds, 1),
                    _number(played.rate(), 0),
                    _number(capacity.cpu_percent if capacity else None, 0),
                    _number(capacity.rss_mb if capacity else None, 0),
                    *[
                        " / ".join(_ms(each.latency_ms[name]) for name in ("p50", "p99", "p99_9", "max"))
                        if each
                        else NOTHING
                        for each in timed
                    ],
                    *[_number(each.cpu_percent if each else None, 0) for each in timed],
                ]
            )
    columns = ["peer", "round", "busy before, %", "start, s", "highest rate", "its CPU, %", "memory, MB"]
    columns += [f"p50 / p99 / p99.9 / max at {rate:,}/s" for rate in report.rates]
    columns += [f"CPU at {rate:,}/s, %" for rate in report.rates]
    return _markdown_table(columns, rows)


def _number(figure: float | None, decimals: int) -> str:
    return NOTHING if figure is None else f"{figure:,.{decimals}f}"


def _machine(report: PeersReport) -> str:
    facts = [f"- {name}: {value}" for name, value in report.machine.items()]
    facts += [f"- {peer.name}: {peer.versions}" for peer in report.peers]
    facts.append(f"- busy with other work before the parts, %: {_plain(report.busy(), 0)}")
    plan = ", ".join(f"{name} {_value(value)}" for name, value in report.plan.items() if value != ())
    return "\n".join([*facts, f"- plan: {plan}"])


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return " and ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
