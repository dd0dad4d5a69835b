"""Kafka's jars, as pinned in `kafka-jars.txt`: fetched once, kept under the home directory, verified at every start."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore

from deploy.embedded.errors import StartError

LOCK = Path(__file__).with_name("kafka-jars.txt")
_PARALLEL_DOWNLOADS = 6
_TIMEOUT_S = 60
PATIENCE_S = 60.0
"""How long a host that cannot be reached is asked again for a jar. What it answers counts at once."""
_PAUSE_S = 2.0
_UNREACHABLE = frozenset({"ConnectionError", "ConnectTimeout", "ProxyError", "ReadTimeout", "ChunkedEncodingError"})
"""Errors of requests, which is not imported here. Not among them: a certificate that is not trusted."""


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """One pinned jar: Maven coordinates and the SHA-256 of its bytes in lower-case hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.sha256}  {self.group}:{self.artifact}:{self.version}"


def parse_lock(text: str) -> list[Jar]:
    """Read lines of `sha256  group:artifact:version`; `#` starts a comment. Raises StartError naming the line."""
    return [
        _parse(line, number) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")
    ]


def _parse(line: str, number: int) -> Jar:
    words = line.split()
    coordinates = words[1].split(":") if len(words) == 2 else []
    if len(coordinates) != 3 or len(words[0]) != 64:
        raise StartError(f"{LOCK.name}, line {number}: expected 'sha256  group:artifact:version'")
    group, artifact, version = coordinates
    return Jar(group, artifact, version, sha256=words[0])


def sha256(path: Path) -> str:
    """SHA-256 of a file in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def obtain(
    jars: Sequence[Jar], folder: Path, on_progress: Callable[[str], None], patience_s: float = PATIENCE_S
) -> list[Path]:
    """Paths of the jars in `folder`, each verified; those missing or damaged are fetched first.

    Several processes may do this at once: a jar appears under its name only whole and verified (atomic rename).
    Raises StartError when a jar cannot be fetched or is not the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    missing = [jar for jar in jars if not _holds(folder / jar.file_name, jar)]
    if missing:
        _fetch_all(missing, folder, on_progress, patience_s)
    return [folder / jar.file_name for jar in jars]


def _holds(path: Path, jar: Jar) -> bool:
    return path.exists() and sha256(path) == jar.sha256


class _Patience:
    """With a host that cannot be reached, of all who fetch from it; the first of them says so."""

    def __init__(self, seconds: float, on_progress: Callable[[str], None]) -> None:
        self._until = time.monotonic() + seconds
        self._on_progress = on_progress
        self._untold = Semaphore()

    def lasts(self) -> bool:
        """Whether there is time for a pause."""
        return time.monotonic() + _PAUSE_S <= self._until

    def pause(self, cause: str) -> None:
        if self._untold.acquire(blocking=False):
            left = self._until - time.monotonic()
            self._on_progress(f"Kafka: the package host cannot be reached ({cause}): trying for another {left:.0f} s")
        time.sleep(_PAUSE_S)


def _fetch_all(jars: Sequence[Jar], folder: Path, on_progress: Callable[[str], None], patience_s: float) -> None:
    patience = _Patience(patience_s, on_progress)
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch,
        ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool,
    ):
        fetched = [pool.submit(_fetch, jar, Path(scratch), folder, patience) for jar in jars]
        try:
            for done, future in enumerate(as_completed(fetched), 1):
                on_progress(f"Kafka: jar {done} of {len(jars)}: {future.result().file_name}")
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(jar: Jar, scratch: Path, folder: Path, patience: _Patience) -> Jar:
    path = _download(jar, scratch, patience)
    if sha256(path) != jar.sha256:
        raise StartError(f"{jar.file_name} is not the file that {LOCK.name} pins: its SHA-256 is {sha256(path)}")
    path.replace(folder / jar.file_name)
    return jar


def _download(jar: Jar, scratch: Path, patience: _Patience) -> Path:
    """The file as the package host gave it, in a folder of its own: half of one stays behind when a try breaks off."""
    from jgo.maven import MavenContext  # noqa: PLC0415 (takes half a second to import, and only a first start needs it)

    while True:
        context = MavenContext(repo_cache=Path(tempfile.mkdtemp(dir=scratch)), timeout=_TIMEOUT_S)
        try:
            return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
        except (RuntimeError, OSError) as error:
            fault = type(error).__name__
            if fault not in _UNREACHABLE or not patience.lasts():
                raise StartError(
                    f"cannot fetch {jar.file_name}: {_cause(error)}; or set OTB_KAFKA to a broker of yours"
                ) from error
            patience.pause(fault)


def _cause(error: Exception) -> str:
    if type(error).__name__ == "SSLError":  # one of requests', which is not imported here
        return "the package host's certificate is not trusted (REQUESTS_CA_BUNDLE=FILE names further authorities)"
    return f"the package host does not have or give it ({type(error).__name__})"


def resolve(roots: Iterable[str]) -> list[Jar]:
    """Resolve Maven coordinates with all they need at run time; fetches every jar to compute its digest.

    Each root is resolved alone and the first one to name an artifact decides its version: together, the second
    root's own recommendations would replace versions that the first was built with.
    """
    chosen: dict[tuple[str, str], Jar] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for root in roots:
            for jar in _resolve_one(root, Path(scratch)):
                chosen.setdefault((jar.group, jar.artifact), jar)
    return sorted(chosen.values())


def _resolve_one(root: str, scratch: Path) -> list[Jar]:
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=scratch, timeout=_TIMEOUT_S)
    inputs, transitive = context.resolver.resolve([context.create_dependency(root)])
    artifacts = [dependency.artifact for dependency in (*inputs, *transitive)]
    return [Jar(a.groupId, a.artifactId, a.version, sha256(Path(a.resolve()))) for a in artifacts]


def write_lock(lock: Path, whose: str, roots: Sequence[str]) -> None:
    """Write a lock file anew from the root coordinates (`make lock`)."""
    head = [f"# {whose} jars, pinned; written by `make lock` from:", *(f"#   {root}" for root in roots)]
    draft = lock.with_suffix(f".{os.getpid()}")
    draft.write_text("\n".join([*head, *(str(jar) for jar in resolve(roots))]) + "\n")
    draft.replace(lock)
