"""Which file gets which generated part."""

from __future__ import annotations

from pathlib import Path

from deploy.documentation import messages, operations
from deploy.documentation.markdown import replaced

README = "README.md"
MESSAGES = "docs/messages.md"


def rendered(root: Path) -> dict[str, str]:
    """File name below `root` -> the text it should have; raises MissingMarker, or OSError when a file is missing."""
    readme = (root / README).read_text(encoding="utf-8")
    for part, content in {"settings": operations.settings(), "metrics": operations.metrics()}.items():
        readme = replaced(readme, part, content)
    return {README: readme, MESSAGES: messages.reference()}
