"""What is kept of a target's inputs: text files with one a line, in base64.

NAME.txt         a smallest set that reaches all that was ever reached
NAME.found.txt   each of these was a fault once
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "corpus"


def reaching(target: str) -> list[bytes]:
    """Empty when there are none yet."""
    return _load(f"{target}.txt")


def found(target: str) -> list[bytes]:
    """The same of the faults."""
    return _load(f"{target}.found.txt")


def keep(target: str, inputs: Iterable[bytes]) -> None:
    """Replace what reaches everything."""
    _save(f"{target}.txt", inputs)


def add_found(target: str, inputs: Iterable[bytes]) -> None:
    """For ever."""
    _save(f"{target}.found.txt", [*found(target), *inputs])


def _load(name: str) -> list[bytes]:
    file = FOLDER / name
    return [base64.b64decode(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []


def _save(name: str, inputs: Iterable[bytes]) -> None:
    lines = sorted({base64.b64encode(each).decode() for each in inputs}, key=lambda line: (len(line), line))
    (FOLDER / name).write_text("".join(f"{line}\n" for line in lines), "ascii")
