"""A Python environment for Quix Streams, which asks for other versions of confluent-kafka and pydantic than ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from loadtest.peers.errors import Unavailable

FOLDER: Final = Path(__file__).parent / "quix"
WORKER: Final = FOLDER / "worker.py"
REQUIREMENTS: Final = FOLDER / "requirements.txt"

_INSTALL_SECONDS: Final = 300
_MADE: Final = "made"


def prepare(cache: Path, on_progress: Callable[[str], None]) -> list[str]:
    """The words that start the worker, up to its own arguments; makes the environment first if it is missing.

    Raises Unavailable.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache / f"quix-streams-{digest}"
    python = str(folder / "bin" / "python")
    if not (folder / _MADE).exists():
        on_progress(f"making an environment for {versions()}")
        shutil.rmtree(folder, ignore_errors=True)
        ours = find_spec("pip") is not None  # then the environment needs none of its own, which takes seconds
        _run([sys.executable, "-m", "venv", *(["--without-pip"] if ours else []), str(folder)])
        pip = [sys.executable, "-m", "pip", "--python", python] if ours else [python, "-m", "pip"]
        _run([*pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(REQUIREMENTS)])
        (folder / _MADE).touch()
    return [python, "-P", str(WORKER)]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 (a list of our own making)
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"its environment could not be made: {type(error).__name__}: {error}"[:300]) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise Unavailable(f"its environment could not be made: {said[-1][:250]}")


def versions() -> str:
    """Quix Streams and its Kafka client, as pinned."""
    pins = [line.partition(";")[0].rstrip(" \\") for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    pinned = {name: number for name, _equals, number in (pin.partition("==") for pin in pins)}
    return f"Quix Streams {pinned['quixstreams']}, confluent-kafka {pinned['confluent-kafka']}"
