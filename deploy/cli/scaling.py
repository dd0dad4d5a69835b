"""`otb loadtest scaling`: latency against accounts, and rate against workers, on a broker of its own."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agents.settings import Settings
from deploy.cli import environment
from deploy.cli.documents import check_writable, console_beside, write_document, write_text
from deploy.cli.failures import EXIT_FAILED, UserError
from deploy.cli.output import Reporter
from deploy.embedded.installation import install_kafka
from deploy.embedded.kafka import running_broker
from deploy.embedded.runs import new_run
from deploy.supervisor import Child, child
from loadtest.runs.profile import BadProfile
from loadtest.scaling.errors import ScalingError
from loadtest.scaling.hits import Hits
from loadtest.scaling.worker import Servers
from topics.cluster import Cluster


def scaling(  # noqa: PLR0913  (one parameter an option)
    *,
    accounts: Annotated[
        str, typer.Option(help="Numbers of accounts, rising; none (''): only workers.")
    ] = "1000,1000000",
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second, whatever the accounts.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.5, max=3600, help="Timed, in each round.")] = 15,
    warmup: Annotated[float, typer.Option(min=0, max=600, help="Seconds before that, at the same rate.")] = 5,
    hits: Annotated[Hits, typer.Option(help="Which accounts ask: all alike, or few of them often.")] = "uniform",
    workers: Annotated[str, typer.Option(help="Numbers of workers, rising; none (''): only accounts.")] = "1,2",
    worker_accounts: Annotated[int, typer.Option(min=1, help="Accounts that workers are measured with.")] = 20_000,
    backlog: Annotated[int, typer.Option(min=1, help="Requests that wait for the workers.")] = 60_000,
    openings: Annotated[int, typer.Option(min=0, help="Accounts to open by messages; 0: none.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often each number is played.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds play equal requests.")] = 1,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON (-: to stdout).")] = None,
    html: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write the report as a page.")] = None,
) -> None:
    """How latency grows with accounts, and the rate with workers. Starts a broker and workers of its own.

    Exits 1 when a request is lost, or a goal (p99 grows by 1.3 at most, two workers do 1.8 times as much) is missed for
    sure.
    """
    from deploy.cli.scalingtables import show  # noqa: PLC0415  (they bring the engine, which no other command needs)
    from loadtest.scaling.comparison import Plan, run  # noqa: PLC0415
    from loadtest.scaling.page import page  # noqa: PLC0415

    settings = environment.settings()
    check_writable(json, html)
    with mistakes(), closing(Reporter()) as reporter:
        plan = Plan(
            whole_numbers("--accounts", accounts), rate, seconds, warmup, hits, whole_numbers("--workers", workers),
            worker_accounts, backlog, openings, rounds, seed, settings.partitions,
        )  # fmt: skip
        with own_servers(settings, reporter) as servers:
            report = run(plan, servers, shlex.join(["otb", *sys.argv[1:]]), reporter)
    write_document(json, report.as_json())
    if html:
        write_text(html, page(report))
    show(report, console_beside(json))
    if report.failures():
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def own_servers(settings: Settings, reporter: Reporter) -> Iterator[Servers]:
    """A broker in a folder that goes away, and what starts workers on it; servers that already run are left alone.
    Settings of the environment hold for the workers, but for where they work. Raises EmbeddedError."""
    if settings.kafka_security_protocol != "PLAINTEXT":
        raise UserError(
            f"its own broker speaks PLAINTEXT, OTB_KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}"
        )
    jars = install_kafka(settings.home, reporter.say)
    with new_run(settings.home) as place:
        reporter.say("starting Kafka")
        with running_broker(place.folder / "kafka", jars) as broker:
            assert broker.process is not None  # noqa: S101  (it runs)

            @contextmanager
            def launch(name: str, own: Mapping[str, str]) -> Iterator[Child]:
                variables = {**own, "PYTHONUNBUFFERED": "1"}
                with child(name, [sys.executable, "-m", "agents.app"], place.folder, variables) as worker:
                    yield worker

            yield Servers(Cluster(broker.bootstrap), broker.process.pid, place.folder, settings.partitions, launch)
            reporter.say("stopping the broker")


@contextmanager
def mistakes() -> Iterator[None]:
    """A load that cannot be is the user's mistake."""
    try:
        yield
    except BadProfile as error:
        raise UserError(str(error)) from error


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """`1,2` as numbers; raises ScalingError."""
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise ScalingError(f"{option} {text}: give whole numbers with commas between them, such as 1,2") from error
