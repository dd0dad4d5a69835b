"""`python -m tests.fuzz.one TARGET ...`: libFuzzer on one target; the rest of the line is libFuzzer's. The code that is
run is instrumented, so that libFuzzer sees which inputs reach something new."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    with atheris.instrument_imports(include=["topics", "agents.gateway", "sinks", "tables", "iso8583", "json"]):
        targets = importlib.import_module("tests.fuzz.targets")
    _module, name, *arguments = sys.argv
    itself = f"{sys.executable} -m tests.fuzz.one {name}"  # how libFuzzer starts it again, to merge
    atheris.Setup([itself, *arguments], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
