"""What the engine is built from: known weaknesses of it, and its bill of materials, both from the lock file.

python -m deploy.dependencies audit            ask PyPI's advisories, by pip-audit
python -m deploy.dependencies sbom FILE        write CycloneDX JSON, by cyclonedx-py

exit 0      every package was looked up and none is known to be weak; or the bill is written
exit 1      a package is known to be weak
exit 3      the advisories could not be had for every package: nothing is known about the others
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).parents[1] / "requirements" / "runtime.txt"
PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
EXIT_WEAK: Final = 1
EXIT_UNKNOWN: Final = 3


def verdict(report: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines for the report of `pip-audit --format json`, which counts a package that it could not look up
    as a sound one."""
    packages = report["dependencies"]
    weak = [
        f"{package['name']} {package['version']}: {weakness['id']}, "
        f"fixed in {', '.join(weakness['fix_versions']) or 'none'}"
        for package in packages
        for weakness in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    lines = list(weak)
    if unknown or not packages:
        lines.append(f"{len(unknown)} of {len(packages)} packages could not be looked up: nothing is known about them")
    if weak:
        return EXIT_WEAK, lines
    if unknown or not packages:
        return EXIT_UNKNOWN, lines
    return 0, [f"{len(packages)} packages, none with a known weakness"]


def audit(lock: Path = LOCK) -> tuple[int, list[str]]:
    """Ask; needs the network. What `verdict` says, or that nobody answered."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = _python("pip_audit", [*options, "--requirement", str(lock)])
    try:
        return verdict(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return EXIT_UNKNOWN, [f"the advisories cannot be had: {last}"]


def sbom(target: Path, lock: Path = LOCK) -> tuple[int, list[str]]:
    """Write the bill: name, version, package URL and hashes of everything that is installed to run the engine. The same
    lock gives the same bytes."""
    options = ["--pyproject", str(PROJECT), "--mc-type", "application", "--of", "JSON", "--output-reproducible"]
    done = _python("cyclonedx_py", ["requirements", *options, "--output-file", str(target), str(lock)])
    if done.returncode:
        return done.returncode, done.stderr.strip().splitlines()[-1:]
    return 0, [f"{len(json.loads(target.read_text())['components'])} packages in {target}"]


def _python(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  (our own words)
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )


def main(arguments: Sequence[str]) -> int:
    """Run one of both and print its lines."""
    match list(arguments):
        case ["audit"]:
            code, lines = audit()
        case ["sbom", target]:
            code, lines = sbom(Path(target))
        case _:
            code, lines = 2, ["usage: python -m deploy.dependencies audit | sbom FILE"]
    for line in lines:
        print(line, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
