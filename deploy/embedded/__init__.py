"""Real servers with nothing but Python installed: `with servers(settings, print) as run: ...`."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agents import cores
from agents.settings import Settings
from deploy.embedded.errors import EmbeddedError, NoRunError, PortTaken, StartError
from deploy.embedded.installation import install_kafka
from deploy.embedded.kafka import BESIDE_OTHERS, Broker, Node
from deploy.embedded.ports import ReservedPort
from deploy.embedded.postgres import Postgres
from deploy.embedded.process import BACKGROUND
from deploy.embedded.runs import Run, describe, new_run

__all__ = ["EmbeddedError", "NoRunError", "PortTaken", "Run", "StartError", "servers"]

OnProgress = Callable[[str], None]
Server = Broker | Postgres
_TRIES = 3


@contextmanager
def servers(
    settings: Settings, on_progress: OnProgress, *, keep: bool = False, jvm_options: Sequence[str] = BESIDE_OTHERS
) -> Iterator[Run]:
    """Kafka and PostgreSQL for the time of the block; an address set in the settings is used instead of a server.

    Blocks for some seconds (longer at the first start, which fetches Kafka): enter it before the event loop runs, and
    from the main thread, since servers end with the thread that started them. `on_progress` gets one-line messages.
    The run is published for `discovery.current_run`; its data is removed at the end unless `keep`. Kafka's JVM gets
    `jvm_options` beside its usual ones, and its housekeeping leaves a worker's core alone. Raises StartError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("servers end with the thread that starts them: start them from the main thread")
    with new_run(settings.home, keep=keep) as run, ExitStack() as cleanup:
        started = _start_missing(run.folder, settings, jvm_options, on_progress, cleanup)
        run.kafka = settings.kafka or next(server.bootstrap for server in started if isinstance(server, Broker))
        run.postgres_dsn = settings.postgres_dsn or next(
            server.dsn for server in started if isinstance(server, Postgres)
        )
        run.servers = [describe(server.process.pid) for server in started if server.process]
        run.publish()
        yield run
        if started:
            on_progress("stopping the servers")


def _start_missing(
    folder: Path, settings: Settings, jvm_options: Sequence[str], on_progress: OnProgress, cleanup: ExitStack
) -> Sequence[Server]:
    """Start what the settings don't name, on other ports if one was taken meanwhile; `cleanup` will stop it."""
    jars = [] if settings.kafka else install_kafka(settings.home, on_progress)
    for attempt in range(1, _TRIES + 1):
        with ExitStack() as this_try:
            wanted = _wanted(folder, settings, jars, jvm_options, this_try)
            try:
                _start(wanted, on_progress, this_try)
            except PortTaken as taken:
                if attempt == _TRIES:
                    raise
                on_progress(f"{taken}: trying others")
                continue
            cleanup.enter_context(this_try.pop_all())
            return wanted
    raise AssertionError("the last attempt returns or raises")


def _wanted(
    folder: Path, settings: Settings, jars: Sequence[Path], jvm_options: Sequence[str], stack: ExitStack
) -> list[Server]:
    def reserve() -> int:
        return stack.enter_context(ReservedPort()).number

    wanted: list[Server] = []
    if not settings.kafka:
        node = Node(1, broker_port=reserve(), controller_port=reserve())
        core = cores.beside_servers(settings.worker_core)
        wanted.append(Broker(node, [node], folder / "kafka", jars, jvm_options=jvm_options, kept_off=core))
    if not settings.postgres_dsn:
        wanted.append(Postgres(folder / "postgres", port=reserve(), niceness=BACKGROUND))
    return wanted


def _start(wanted: Sequence[Server], on_progress: OnProgress, stack: ExitStack) -> None:
    if not wanted:
        return
    on_progress(f"starting {' and '.join(server.name for server in wanted)}")
    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(_prepare, wanted))
    stack.callback(_stop, wanted)
    for server in wanted:
        server.start()
    for server in wanted:
        server.wait_ready()
        on_progress(f"{server.name} is up")


def _prepare(server: Server) -> None:
    shutil.rmtree(server.folder, ignore_errors=True)  # what an earlier try left
    server.prepare()


def _stop(started: Sequence[Server]) -> None:
    """Ask all, then wait for each: they stop side by side."""
    for server in started:
        server.ask_to_stop()
    with ExitStack() as stack:
        for server in started:
            stack.callback(server.stop)
