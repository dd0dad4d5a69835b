"""`otb loadtest peers`: the same minimal job in other stream processors and on this engine, in one run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from deploy.cli import environment
from deploy.cli.failures import UserError
from deploy.cli.output import Reporter, results
from deploy.embedded.jars import obtain, parse_lock
from deploy.embedded.kafka import COLLECTOR
from loadtest.peers import page as written
from loadtest.peers.catalogue import UnknownPeer
from loadtest.peers.comparison import Options, compare
from loadtest.peers.java import Java
from loadtest.peers.report import PeersReport


def _fetch_jars(lock: str, folder: Path, on_progress: Callable[[str], None]) -> Sequence[Path]:
    return obtain(parse_lock(lock), folder, on_progress)


JAVA: Final = Java(_fetch_jars, COLLECTOR)
"""How peers in Java are set up."""


def peers(  # noqa: PLR0913  (one parameter an option)
    *,
    rates: Annotated[str, typer.Option(help="Requests per second to time: 1000,5000")] = "1000,5000",
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Timed, for each rate.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often every peer is played.")] = 3,
    accounts: Annotated[
        int, typer.Option(min=1, max=5_000_000, help="Accounts that requests are spread over.")
    ] = 10_000,
    capacity_seconds: Annotated[
        float, typer.Option(min=0.5, max=120, help="Steady state in which the highest rate is counted.")
    ] = 8.0,
    settle: Annotated[float, typer.Option(min=0, max=120, help="Flooded before that, at least.")] = 6.0,
    quiet: Annotated[float, typer.Option(min=0, max=600, help="Nothing is sent after it.")] = 20.0,
    only: Annotated[str, typer.Option(help="Names of peers, separated by commas; none: all.")] = "",
    json: Annotated[Path | None, typer.Option("--json", help="Write every round to this file.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the page docs/peers.md is one of.")] = None,
) -> None:
    """Compare Faust, Kafka Streams, Quix Streams, a bare loop and this engine on the running broker.

    Each peer is one process and has topics of its own. One that cannot be set up is left out, and the table says why.
    """
    settings = environment.settings()
    cluster = environment.cluster(settings)
    if cluster.protocol != "PLAINTEXT":
        raise UserError(f"peers speak PLAINTEXT only, OTB_KAFKA_SECURITY_PROTOCOL is {cluster.protocol}")
    reporter = Reporter()
    try:
        options = Options(
            cluster.bootstrap, settings.home.expanduser(), _whole_numbers(rates), seconds,
            capacity_seconds=capacity_seconds, settle=settle, quiet=quiet, rounds=rounds, accounts=accounts,
            peers=tuple(filter(None, only.split(","))), java=JAVA,
            command=shlex.join(["otb", *sys.argv[1:]]),
        )  # fmt: skip
        report = compare(options, reporter.say)
    except UnknownPeer as error:
        raise UserError(str(error)) from error
    finally:
        reporter.close()
    _show(report, results(), json, page)


def _show(report: PeersReport, console: Console, json: Path | None, page: Path | None) -> None:
    """Print the table, the goals and whatever was not clean, and write the files asked for."""
    console.print(written.table(report))
    for line in written.goals(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if warning := written.disturbance(report):
        console.print(warning, style="yellow", highlight=False, soft_wrap=True)
    for peer in report.peers:
        for failure in peer.failures():
            console.print(f"{peer.name}: {failure}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        json.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    if page is not None:
        page.write_text(written.markdown(report))


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers", param_hint="--rates") from error
