"""What the source says behind a field of a dataclass or a member of an enum: `name: type  # this`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

_FIELD: Final = re.compile(r"^    (\w+): .*?  # (.+)$", re.MULTILINE)
_MEMBER: Final = re.compile(r"^    (\w+) = .*?  # (.+)$", re.MULTILINE)
MENTION: Final = re.compile(r"\bmodels\.\w+\.([A-Z]\w+)")
"""A class of the domain named in a comment; its module is of no use to readers of JSON."""


@cache  # to find a class, Python parses the whole module
def of_fields(message: type) -> Mapping[str, str]:
    """Field -> the comment behind it; fields without one are left out."""
    return MappingProxyType(dict(_FIELD.findall(inspect.getsource(message))))


@cache
def of_members(names: type[StrEnum]) -> Mapping[str, str]:
    """Value -> the comment behind it; values without one are left out."""
    found = _MEMBER.findall(inspect.getsource(names))
    return MappingProxyType({names[member].value: comment for member, comment in found})


def docstring(described: type) -> str:
    """The class's own docstring without indentation; empty when it has none."""
    return inspect.cleandoc(vars(described).get("__doc__") or "")
