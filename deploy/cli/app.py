"""Wires the groups of commands and turns every foreseeable failure into one line."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from deploy.cli.failures import EXIT_FAILED, explain

GROUPS: Final = {
    "serve": ("up", "worker", "sink"),
    "gateway": ("gateway",),
    "simulate": ("simulate",),
    "loadtest": ("loadtest",),
    "history": ("history",),
    "look": ("tail", "account"),
    "ledger": ("trial-balance", "reconcile", "rebuild-ledger"),
    "acls": ("acls",),
    "demo": ("demo",),
}
"""Module of this package -> its commands."""
_DEBUG = "OTB_DEBUG"


class FrontDoor(TyperGroup):
    """Runs a command and reports what went wrong the way a user can act on."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run and exit: 0, or what `deploy.cli.failures` says."""
        try:
            code = super().main(*args, **extra | {"standalone_mode": False, "prog_name": "otb"})
        except BrokenPipeError:  # `otb tail ... | head`
            _silence_stdout()
            code = EXIT_FAILED
        except SystemExit:
            raise
        except BaseException as error:
            code = _report(error)
        sys.exit(code if isinstance(code, int) else 0)


def build(command: str = "") -> typer.Typer:
    """The command line with all its commands; with those of one module when `command` is one of them: nobody needs the
    simulator in a sink's memory, or waits for it."""
    app = typer.Typer(
        name="otb",
        cls=FrontDoor,
        help="The core of a consumer credit card: decides authorisations from Kafka, keeps the ledger in PostgreSQL.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def options(
        debug: Annotated[bool, typer.Option("--debug", help="Show traces of errors (also OTB_DEBUG=1).")] = False,
    ) -> None:
        if debug:
            os.environ[_DEBUG] = "1"

    for group in [group for group, commands in GROUPS.items() if command in commands] or GROUPS:
        import_module(f"deploy.cli.{group}").register(app)
    return app


def _report(error: BaseException) -> int:
    failure = explain(error)
    if os.environ.get(_DEBUG, "0") not in {"", "0"}:
        traceback.print_exception(error)
    for detail in failure.details:
        print(f"  | {detail}", file=sys.stderr)
    if failure.line:
        print(f"otb: {failure.line}", file=sys.stderr)
    return failure.code


def _silence_stdout() -> None:
    """The reader is gone: let the interpreter's last flush go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
