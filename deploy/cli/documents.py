"""Documents that a command is asked to write: to a file, or to stdout beside its tables."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from deploy.cli.failures import UserError
from deploy.cli.output import results

STDOUT: Final = Path("-")


def console_beside(json: Path | None) -> Console:
    """Where tables go: not between the lines of a document on stdout."""
    return Console(stderr=True, highlight=False) if json == STDOUT else results()


def check_writable(*paths: Path | None) -> None:
    """Before a run, not after it; raises UserError."""
    for path in paths:
        if path is not None and path != STDOUT and not os.access(path.parent, os.W_OK):
            raise UserError(f"cannot write {path}: there is no folder {path.parent} that may be written to")


def write_document(path: Path | None, document: dict[str, Any]) -> None:
    """As JSON, to stdout for `-`; nowhere for None. Raises UserError."""
    if path is None:
        return
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Raises UserError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
