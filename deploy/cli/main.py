"""Entry point of the `otb` script: what is the process's own, signals first, so that Ctrl-C is quiet even while the
rest is imported."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line and exit. SIGTERM ends like Ctrl-C does: children first."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        from deploy.cli.app import build  # noqa: PLC0415  (takes most of a second)
        from topics.transport.connections import steady_connections  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    logging.getLogger().addHandler(logging.NullHandler())  # one line per failure; `otb worker` and `otb sink` do log
    steady_connections()
    build(next((word for word in sys.argv[1:] if word != "--debug"), ""))()


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
