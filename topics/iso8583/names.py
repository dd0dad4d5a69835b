"""Data element 43, card acceptor name and location: 25 characters of name, 13 of city, 2 of country.

Read: UTF-8 where it is UTF-8 (a character cut in the middle by somebody's 25 bytes is dropped), else Latin-1.
Written: plain ASCII, as networks have it. Accents go, "™" becomes "TM", what has no Latin counterpart is dropped.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

NAME_WIDTH: Final = 25
CITY_WIDTH: Final = 13
NAMELESS: Final = "UNKNOWN"
"""Written for a name without a single character that ASCII has."""

_LETTERS: Final = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    }
)  # fmt: skip
"""Letters and marks that normalisation does not take apart."""


class Acceptor(NamedTuple):
    name: str  # may be empty: the message's contract refuses that
    city: str | None
    country: str


def read(element: str) -> Acceptor:
    """From the 40 bytes, given as Latin-1 text."""
    name, city, country = (_read_part(element[at]) for at in (slice(0, 25), slice(25, 38), slice(38, 40)))
    return Acceptor(name, city or None, country)


def write(name: str, city: str | None, country: str) -> str:
    """Exactly 40 ASCII characters."""
    shown_city = plain(city, CITY_WIDTH) if city else ""
    return f"{plain(name, NAME_WIDTH) or NAMELESS:<25}{shown_city:<13}{country}"


def plain(text: str, width: int) -> str:
    """At most `width` printable ASCII characters, without blanks at the ends or side by side; possibly none."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    ascii_only = "".join(char for char in decomposed if " " <= char <= "~")
    return " ".join(ascii_only.split())[:width].rstrip()


def _read_part(element: str) -> str:
    content = element.encode("latin-1")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        cut = error.end == len(content) and error.reason == "unexpected end of data"
        text = content[: error.start].decode() if cut else element
    return "".join(char if unicodedata.category(char) != "Cc" else " " for char in text).strip()
