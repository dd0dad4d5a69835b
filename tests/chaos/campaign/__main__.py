"""A campaign from the command line: `python -m tests.chaos.campaign --seed N --minutes M`, with `--brokers 3` on a
cluster; `--help` has the rest. Ends with 0 when it passed, 1 when it did not; then the servers' and workers' logs are
kept."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agents.settings import Settings
from deploy.embedded.installation import install_kafka
from loadtest.machine import facts
from tests.chaos.campaign import page
from tests.chaos.campaign.conduct import PATIENCE_S, Campaign, Say
from tests.chaos.campaign.faults import CLUSTER, REGISTRY, Fault, chosen, needs_disks, possible
from tests.chaos.campaign.result import Result
from tests.chaos.campaign.world import World

FAULTS_HELP: Final = f"of {', '.join(REGISTRY)}; with three brokers of {', '.join(CLUSTER)}; all if not given"


def main(
    *,
    seed: Annotated[int, typer.Option(help="the same seed, length and faults: the same schedule")] = 1,
    minutes: Annotated[float, typer.Option(help="minutes of load; starting and checking come on top")] = 8,
    faults: Annotated[
        str | None,
        typer.Option(help=FAULTS_HELP),
    ] = None,
    brokers: Annotated[int, typer.Option(help="1, or 3 for a cluster, which has faults of its own")] = 1,
    rate: Annotated[int | None, typer.Option(min=1, help="records a second; 600, or 500 to three brokers")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
    page_file: Annotated[Path | None, typer.Option("--page", help="write the report there")] = None,
) -> None:
    """Hurt the stack for some minutes, then check everything it did."""
    if brokers not in (1, 3):
        raise typer.BadParameter(f"{brokers} brokers: there are schedules for 1 and for 3")
    try:
        wanted = chosen(faults, brokers) if faults else possible(chosen(None, brokers))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped in order
    result = _campaign(seed, minutes * 60, wanted, brokers, rate)
    report(result, wanted, as_json)
    if page_file is not None:
        command = f"python -m tests.chaos.campaign --seed {seed} --minutes {minutes:g}"
        command += f" --brokers {brokers}" if brokers > 1 else ""
        command += f" --rate {rate}" if rate else ""
        command += f" --faults {faults}" if faults else ""
        page_file.write_text(page.markdown(result, wanted, command, PATIENCE_S), encoding="utf-8")
    raise typer.Exit(0 if result.passed else 1)


def _campaign(seed: int, length_s: float, wanted: Mapping[str, Fault], brokers: int, rate: int | None) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="opentobuy-campaign-"))
    passed = False
    try:
        with _progress() as say:
            jars = install_kafka(Settings().home, lambda line: say(line, 0))
            world = World(folder, jars, brokers, needs_disks(wanted))
            result = Campaign(seed, length_s, wanted, world, say, rate=rate).run()
        passed = result.passed
    finally:
        if passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs and data are in {folder}", file=sys.stderr)
    return result


@contextmanager
def _progress() -> Iterator[Say]:
    """A bar on a terminal, lines elsewhere; both on stderr."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description:40}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def say(line: str, done: float) -> None:
            bar.update(task, description=line, completed=done)
            if not console.is_terminal:
                console.print(f"{done:4.0%} {line}")

        yield say


def report(result: Result, wanted: Mapping[str, Fault], as_json: bool) -> None:
    """On stdout: one JSON document, or a table and, after a failure, all that is needed to see why."""
    if as_json:
        document: dict[str, Any] = {"passed": result.passed, "commit": page.commit(), "machine": facts()}
        print(orjson.dumps(document | {"campaign": result}, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False, markup=False)
    console.print(page.table(result, wanted))
    for trial in result.trials:
        for end in trial.ends:
            console.print(f"{trial.fault}: {end}")
        if trial.trouble:
            console.print(f"{trial.fault} (seed {trial.seed}) NEEDED HELP: {trial.trouble}")
    if not result.passed:
        console.print(f"seed {result.seed}, schedule:")
        for appointment in result.schedule:
            console.print(f"  {appointment.at_s:7.1f} s  {appointment.fault}  (seed {appointment.seed})")
    for lost in result.lost:
        console.print(lost, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
