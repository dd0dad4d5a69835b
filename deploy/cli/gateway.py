"""`otb gateway`: the card network's link, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import typer
import uvloop
from prometheus_client import CollectorRegistry, start_http_server

from agents.logs import log_to_stderr
from agents.settings import Settings
from deploy.cli import environment
from deploy.cli.failures import EXIT_INTERRUPTED, UserError
from loadtest import clients
from topics.cluster import Cluster
from topics.permissions import Role, permissions

if TYPE_CHECKING:
    from agents.gateway.cards import Cards


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(gateway)


def gateway() -> None:
    """Answer ISO 8583 over TCP until Ctrl-C, with the engine of `otb up` or that on OTB_KAFKA.

    OTB_GATEWAY_CARDS names the file of cards; docs/gateway.md says what a simulator has to send.
    """
    from agents.gateway.cards import load  # noqa: PLC0415  (the messages take a moment to import)
    from agents.gateway.errors import GatewayError  # noqa: PLC0415

    settings = environment.settings()
    if settings.gateway_cards is None:
        raise UserError("OTB_GATEWAY_CARDS is not set: the gateway needs a file of card numbers and their accounts")
    log_to_stderr()
    try:
        cards = load(settings.gateway_cards)
        cluster = environment.cluster(settings)
        clients.require(cluster)
        if cluster.protocol != "PLAINTEXT":
            clients.require_permissions(cluster, permissions(Role.GATEWAY, settings.app_id))
        environment.require_partitions(settings, cluster)
        interrupted = uvloop.run(_run(settings, cluster, cards))
    except GatewayError as error:
        raise UserError(str(error)) from error
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


async def _run(settings: Settings, cluster: Cluster, cards: Cards) -> bool:
    """Until SIGTERM or Ctrl-C; True when it was Ctrl-C."""
    from agents.gateway.framing import Length  # noqa: PLC0415
    from agents.gateway.gateway import Rules  # noqa: PLC0415
    from agents.gateway.service import GatewayService, Link  # noqa: PLC0415

    registry = CollectorRegistry()
    service = GatewayService(
        cluster=cluster,
        tokenizer=cards,
        registry=registry,
        link=Link(
            settings.gateway_host,
            settings.gateway_port,
            Length(settings.gateway_length),
            settings.gateway_max_in_flight,
        ),
        rules=Rules(settings.gateway_deadline_ms / 1000, settings.max_future_s * 1000),
        fetch_wait_ms=settings.fetch_wait_ms,
    )
    signals: list[signal.Signals] = []

    def tell(number: signal.Signals) -> None:
        signals.append(number)
        service.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell, number)
    try:
        server, _thread = start_http_server(settings.gateway_metrics_port, settings.metrics_host, registry=registry)
    except OSError as error:
        address = f"{settings.metrics_host}:{settings.gateway_metrics_port}"
        raise UserError(f"cannot serve metrics on {address}: {error.strerror}") from error
    print(f"metrics {settings.metrics_host}:{server.server_port}", flush=True)
    running = asyncio.ensure_future(service.run())
    ready = asyncio.ensure_future(service.ready.wait())
    await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        print(f"listening {settings.gateway_host}:{service.port}\nready", flush=True)
    ready.cancel()
    await running
    return signal.SIGINT in signals
