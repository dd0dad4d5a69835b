"""`python -m tests.fuzz [--inputs N] [--target NAME] [--json]`: N inputs in all, shared among the targets. Ends with 0
when nothing was found, else with 1 and the input, which is kept, so that `make test` fails until it is mended."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from tests.fuzz import corpus
from tests.fuzz.seeds import SEEDS, words
from tests.fuzz.targets import TARGETS

LONGEST: Final = 8192
"""Bytes of an input."""
ROOT: Final = Path(__file__).parents[2]
console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one target. `fault`: the end of what was raised; `input_base64`: by what."""

    target: str
    inputs: int
    seconds: int
    corpus: int
    fault: str | None = None
    input_base64: str | None = None


def main(
    inputs: Annotated[int, typer.Option(min=1, help="inputs in all")] = 1_400_000,
    target: Annotated[str | None, typer.Option(help=f"one of {', '.join(TARGETS)}; all if not given")] = None,
    seed: Annotated[int, typer.Option(help="of libFuzzer's choices")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Try every decoder with many inputs."""
    if target is not None and target not in TARGETS:
        raise typer.BadParameter(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    if find_spec("atheris") is None:
        console.print("atheris is not installed: run `make fuzz` (Linux on x86-64 or ARM only)")
        raise typer.Exit(2)
    names = [target] if target else list(TARGETS)
    tried = []
    for name in names:
        console.print(f"{name}: {inputs // len(names):,} inputs")
        tried.append(_try(name, inputs // len(names), seed))
    _report(tried, as_json)
    raise typer.Exit(1 if any(each.fault for each in tried) else 0)


def _try(name: str, inputs: int, seed: int) -> Tried:
    with tempfile.TemporaryDirectory(prefix="opentobuy-fuzz-") as folder:
        home = Path(folder)
        known, kept, faults = home / "known", home / "kept", home / "faults"
        for each in (known, kept, faults):
            each.mkdir()
        for number, content in enumerate([*SEEDS[name](), *corpus.reaching(name), *corpus.found(name)]):
            (known / str(number)).write_bytes(content)
        (home / "words").write_text("".join(f'"{_quoted(word)}"\n' for word in sorted(words())))
        run = _libfuzzer(
            name, f"-runs={inputs}", f"-seed={seed}", f"-max_len={LONGEST}", f"-dict={home / 'words'}",
            f"-artifact_prefix={faults}/", "-timeout=10", "-verbosity=1", str(known),
        )  # fmt: skip
        done = re.search(r"Done (\d+) runs in (\d+) second", run.stderr)
        found = sorted(faults.iterdir())
        if done is None and not found:
            raise RuntimeError(f"libFuzzer ended with {run.returncode}: {run.stderr[-2000:]}")
        _libfuzzer(name, "-merge=1", f"-max_len={LONGEST}", str(kept), str(known))
        corpus.keep(name, (each.read_bytes() for each in kept.iterdir()))
        count = len(corpus.reaching(name))
        if found:
            corpus.add_found(name, (each.read_bytes() for each in found))
            return Tried(name, inputs, 0, count, _fault(run), base64.b64encode(found[0].read_bytes()).decode())
        assert done is not None
        return Tried(name, int(done[1]), int(done[2]), count)


def _libfuzzer(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.one", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)


def _fault(run: subprocess.CompletedProcess[str]) -> str:
    """The exception with its trace; atheris prints it on either stream."""
    for text in (run.stdout, run.stderr):
        if "Uncaught Python exception" in text:
            return text[text.index("Uncaught Python exception") :][:3000]
    return run.stderr[-3000:]


def _quoted(word: str) -> str:
    return "".join(c if c.isalnum() or c in "_-:." else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in word)


def _report(tried: list[Tried], as_json: bool) -> None:
    if as_json:
        print(orjson.dumps([asdict(each) for each in tried], option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("decoder", "inputs", "seconds", "corpus", "found")
    for each in tried:
        found = "a fault" if each.fault else "nothing"
        table.add_row(each.target, f"{each.inputs:,}", f"{each.seconds:,}", f"{each.corpus:,}", found)
    out = Console(highlight=False)
    out.print(table)
    for each in tried:
        if each.fault:
            out.print(f"{each.target}: {each.input_base64}", each.fault, sep="\n", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
