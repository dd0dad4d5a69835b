"""`python -m deploy.documentation [--check]`: write the generated parts, or exit 1 naming the files that are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.documentation.markdown import MissingMarker
from deploy.documentation.pages import rendered

_ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    """The exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m deploy.documentation [--check]", file=sys.stderr)
        return 2
    try:
        stale = {name: text for name, text in rendered(_ROOT).items() if _differs(_ROOT / name, text)}
    except (MissingMarker, OSError) as error:
        print(f"documentation: {error}", file=sys.stderr)
        return 1
    for name, text in stale.items():
        if arguments:
            print(f"{name} is stale: run python -m deploy.documentation", file=sys.stderr)
        else:
            (_ROOT / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and arguments else 0


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
