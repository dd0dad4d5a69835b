"""Is every text that one pattern takes also taken by another? Decided for the one shape our patterns have.

That shape is a single class of characters, repeated: `^[A-Z]{3}$`, `^[^\\x00-\\x1f]+$`. In general the question is
far harder, and other shapes are answered with no.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

_SHAPE: Final = re.compile(r"\^(\[(?:\\.|[^\]\\])+\])(\{\d+(?:,\d*)?\}|[+*?])?\$")
_COUNTS: Final = {"": "{1}", "+": "{1,}", "*": "{0,}", "?": "{0,1}"}


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Between `least` and `most` characters of a class such as `[A-Z]`."""

    characters: str
    least: int
    most: float


def covers(wide: str, narrow: str) -> bool:
    """Whether `wide` certainly takes whatever `narrow` takes; False also when it cannot be told."""
    if wide == narrow:
        return True
    outer, inner = _parse(wide), _parse(narrow)
    if outer is None or inner is None or outer.least > inner.least or outer.most < inner.most:
        return False
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    taken = "".join(re.findall(inner.characters, everything))
    return re.fullmatch(f"{outer.characters}*", taken) is not None


def _parse(pattern: str) -> _Repeated | None:
    shape = _SHAPE.fullmatch(pattern)
    if shape is None:
        return None
    count = _COUNTS.get(shape[2] or "", shape[2])
    least, comma, most = count.strip("{}").partition(",")
    limit = float(most) if most else float("inf") if comma else float(least)
    return _Repeated(shape[1], int(least), limit)
