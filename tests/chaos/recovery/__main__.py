"""`python -m tests.chaos.recovery`: measures failover and cold restore on a broker of its own, on stdout; `--page FILE`
writes the report. Ends with 1 when a figure is over what is allowed."""

from __future__ import annotations

import tempfile
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.settings import Settings
from deploy.embedded.installation import install_kafka
from deploy.embedded.kafka import running_broker
from tests.benchmarks.works import calibration
from tests.chaos.recovery import page
from tests.chaos.recovery.failover import failover
from tests.chaos.recovery.restore import restore


def main(
    rows: Annotated[int, typer.Option(min=1000, help="rows in the changelog of the cold restore")] = 1_000_000,
    page_file: Annotated[Path | None, typer.Option("--page", help="write the report there")] = None,
) -> None:
    """Measure failover without and with a warm standby, and a restore from an empty store."""
    console = Console(highlight=False, markup=False)
    found = page.Figures(min(timeit.repeat(calibration, number=1, repeat=200)))
    for standby_replicas in (0, 1):
        with _broker() as (kafka, folder):
            found.failovers.append(failover(kafka, folder, standby_replicas))
            console.print(page.failover_line(found.failovers[-1]))
    with _broker() as (kafka, folder):
        found.restore = restore(kafka, folder, rows)
        console.print(page.restore_line(found.restore))
    console.print(page.calibration_line(found))
    if page_file is not None:
        page_file.write_text(page.markdown(found), encoding="utf-8")
    raise typer.Exit(0 if found.passed else 1)


@contextmanager
def _broker() -> Iterator[tuple[str, Path]]:
    """A new broker and a folder for workers; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="opentobuy-recovery-") as folder:
        jars = install_kafka(Settings().home, print)
        with running_broker(Path(folder) / "kafka", jars) as broker:
            yield broker.bootstrap, Path(folder) / "workers"


if __name__ == "__main__":
    typer.run(main)
