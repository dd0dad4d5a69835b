"""What the source says behind a field of a dataclass or a member of an enum: `name: type  # this`."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from typing import Final

_FIELD: Final = re.compile(r"^    (\w+): .*?  # (.+)$", re.MULTILINE)
_MEMBER: Final = re.compile(r"^    (\w+) = .*?  # (.+)$", re.MULTILINE)
MENTION: Final = re.compile(r"\bmodels\.\w+\.([A-Z]\w+)")
"""A class of the domain named in a comment; its module is of no use to readers of JSON."""


def of_fields(message: type) -> dict[str, str]:
    """Field -> the comment behind it; fields without one are left out."""
    return dict(_FIELD.findall(inspect.getsource(message)))


def of_members(names: type[StrEnum]) -> dict[str, str]:
    """Value -> the comment behind it; values without one are left out."""
    return {names[member].value: comment for member, comment in _MEMBER.findall(inspect.getsource(names))}


def docstring(described: type) -> str:
    """The class's own docstring without indentation; empty when it has none."""
    return inspect.cleandoc(vars(described).get("__doc__") or "")
