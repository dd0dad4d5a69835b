"""`python -m loadtest.peers --kafka HOST:PORT`: the comparison on a broker that is there already."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from agents.settings import Settings
from loadtest.clients import Unreachable
from loadtest.peers import page
from loadtest.peers.catalogue import PEERS, UnknownPeer
from loadtest.peers.comparison import Options, compare
from loadtest.peers.errors import Unavailable
from loadtest.peers.report import PeersReport

_NAMES = ", ".join(peer.name for peer in PEERS)


def command(  # noqa: PLR0913, PLR0917  (each is an option of the command line)
    kafka: Annotated[str, typer.Option(envvar="OTB_KAFKA", help="broker to run on, host:port")],
    rates: Annotated[str, typer.Option(help="requests per second to time, separated by commas")] = "1000,5000",
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="timed, for each rate")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, max=50)] = 3,
    accounts: Annotated[int, typer.Option(min=1, max=5_000_000)] = 10_000,
    capacity_seconds: Annotated[float, typer.Option(min=0.5, max=120, help="steady state of the highest rate")] = 8.0,
    settle: Annotated[float, typer.Option(min=0, max=120, help="flooded before that, at least")] = 6.0,
    peers: Annotated[str, typer.Option(help=f"separated by commas, of: {_NAMES}; none: all")] = "",
    write_json: Annotated[Path | None, typer.Option("--json", help="write every round to this file")] = None,
    write_page: Annotated[Path | None, typer.Option("--page", help="write the page to this file")] = None,
) -> None:
    """Compare the peers and print the table."""
    home = Settings().home
    options = Options(
        bootstrap=kafka,
        home=home,
        rates=whole_numbers(rates),
        seconds=seconds,
        rounds=rounds,
        accounts=accounts,
        capacity_seconds=capacity_seconds,
        settle=settle,
        peers=tuple(filter(None, peers.split(","))),
        fetch_jars=_fetched_before,
        command=shlex.join(["python", "-m", "loadtest.peers", *sys.argv[1:]]),
    )
    console = Console()
    try:
        report = compare(options, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
    except (UnknownPeer, Unreachable) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    show(report, console, write_json, write_page)


def show(report: PeersReport, console: Console, write_json: Path | None, write_page: Path | None) -> None:
    """Print the table, the goals and whatever was not clean, and write the files asked for."""
    console.print(page.table(report))
    for line in page.goals(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if warning := page.disturbance(report):
        console.print(warning, style="yellow", highlight=False, soft_wrap=True)
    for peer in report.peers:
        for failure in peer.failures():
            console.print(f"{peer.name}: {failure}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    if write_json is not None:
        write_json.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    if write_page is not None:
        write_page.write_text(page.markdown(report))


def whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers", param_hint="--rates") from error


def _fetched_before(lock: str, folder: Path, _on_progress: object) -> Sequence[Path]:
    """Only what another command has fetched and verified: the fetcher belongs to the layer above."""
    pins = [line.split()[1].split(":") for line in lock.splitlines() if line and not line.startswith("#")]
    jars = [folder / f"{artifact}-{number}.jar" for _group, artifact, number in pins]
    missing = [jar.name for jar in jars if not jar.exists()]
    if missing:
        raise Unavailable(f"{missing[0]} has not been fetched: `otb loadtest peers` fetches it")
    return jars


if __name__ == "__main__":
    typer.run(command)
