"""Card numbers (PANs) where none belong: what looks like one, and the text without it.

A number looks like a card's when it has 13 to 19 digits in one run, or 15 or 16 in the groups that are printed on
cards, begins in a range that networks have published for their issuers, has a length of that range, and its last digit
is right by the Luhn formula (ISO/IEC 7812-1, annex B). Of random numbers of 16 digits some three in a hundred do; times
in milliseconds begin with 1 and never do.
"""

from __future__ import annotations

import re
from typing import Final

KEPT_IN_FRONT: Final = 6
KEPT_AT_THE_END: Final = 4
"""Digits that may be shown of a card number (PCI DSS 3.4.1)."""

_CANDIDATE: Final = re.compile(
    rb"(?<![0-9])[2-68][0-9]{12,18}(?![0-9])"
    rb"|(?<![0-9A-Za-z-])[2-68][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z-])"
    rb"|(?<![0-9A-Za-z-])3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}(?![0-9A-Za-z-])"
)
_APART: Final = re.compile(
    rb"(?<![0-9A-Za-z])[2-68][0-9]{15,18}(?![0-9A-Za-z])"
    rb"|(?<![0-9A-Za-z-])[2-68][0-9]{3}-[0-9]{4}-[0-9]{4}-[0-9]{4}(?![0-9A-Za-z-])"
)
_MANY_DIGITS: Final = re.compile(r"[0-9 -]{13}")
_DIGITS: Final = bytes(48 if chr(byte) in "0123456789 -" else 46 for byte in range(256))
_THIRTEEN: Final = b"0" * 13
_ESCAPED_DIGIT: Final = re.compile(rb"\\u003([0-9])")
_RANGES: Final = (  # first and last prefix, lengths
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "659", (16, 17, 18, 19)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("300", "305", (14, 15, 16, 17, 18, 19)),  # Diners Club
    ("36", "36", (14, 15, 16, 17, 18, 19)),
    ("38", "39", (14, 15, 16, 17, 18, 19)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "81", (16, 17, 18, 19)),
    ("50", "50", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("56", "58", (13, 14, 15, 16, 17, 18, 19)),
    ("63", "63", (13, 14, 15, 16, 17, 18, 19)),
    ("67", "67", (13, 14, 15, 16, 17, 18, 19)),
)


def found(text: bytes) -> list[bytes]:
    """What looks like a card number in `text` (ASCII or UTF-8), as it stands there."""
    return [match.group() for match in _CANDIDATE.finditer(_plain(text)) if _is_card_number(_digits(match.group()))]


def stands_in(identifier: str) -> bool:
    """Whether there is one in an identifier."""
    if _MANY_DIGITS.search(identifier) is None and "\\u003" not in identifier:  # nearly always
        return False
    return bool(found(identifier.encode()))


def stands_apart_in(reference: str) -> bool:
    """Whether a reference, or a part of it between its separators, is one of 16 digits or more. What networks assign
    is shorter (15 digits at most) or longer (23), so that none of theirs is ever taken for a card number."""
    text = reference.encode()
    return any(_is_card_number(_digits(match.group())) for match in _APART.finditer(text))


def may_be_in(text: bytes) -> bool:
    """Whether 13 digits, blanks and hyphens stand in a row somewhere; without, there is no card number, unless it is
    escaped. Takes a tenth of the time of a look for one."""
    return _THIRTEEN in text.translate(_DIGITS)


def masked(text: bytes) -> bytes:
    """`text` with the middle of everything that looks like a card number turned into asterisks.

    Equal to `text` when there is none. Digits that JSON escapes (backslash, u0034) count, and are written plainly where
    something was masked.
    """
    plain = _plain(text)
    hidden = _CANDIDATE.sub(_mask, plain)
    return text if hidden == plain else hidden


def _plain(text: bytes) -> bytes:
    return _ESCAPED_DIGIT.sub(rb"\1", text) if b"\\u003" in text else text


def _mask(match: re.Match[bytes]) -> bytes:
    text = match.group()
    if not _is_card_number(_digits(text)):
        return text
    middle = text[KEPT_IN_FRONT:-KEPT_AT_THE_END]
    return text[:KEPT_IN_FRONT] + re.sub(rb"[0-9]", b"*", middle) + text[-KEPT_AT_THE_END:]


def _digits(text: bytes) -> str:
    return text.translate(None, b" -").decode()


def _is_card_number(digits: str) -> bool:
    return _luhn(digits) and any(
        low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _RANGES
    )


def _luhn(digits: str) -> bool:
    """Every second digit from the right counts double, a sum of tens as its digits; the whole is a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
