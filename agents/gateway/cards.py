"""The card file: which account and card token a card number (PAN) stands for.

JSON   an array of objects with the fields pan, account_id and card_token, all strings
CSV    a header line with these names in any order, then one line a card

Card numbers are kept only as keyed hashes under a salt drawn at the start, and no error quotes what stands in the file.
Whoever can read this process's memory has the salt as well and can try all numbers: the hash keeps card numbers out of
dumps and logs by accident, no more.
"""

from __future__ import annotations

import csv
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, Final, NamedTuple

from agents.gateway.errors import CardFileError

FIELDS: Final = ("pan", "account_id", "card_token")
_PAN: Final = re.compile(r"[0-9]{12,19}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # models.messages.Identifier
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_DIGEST_BYTES: Final = 16


class Line(NamedTuple):
    """One card as it stands in the file."""

    number: int  # of the line it begins on, from 1
    fields: Mapping[Any, Any]


class Cards:
    """A tokenizer (topics.iso8583.Tokenizer): card number -> (account id, card token), None when it is not ours."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Raises CardFileError naming the first line that is no card, or has a card number for the second time."""
        self._salt = secrets.token_bytes(32)
        self._tokens: dict[bytes, tuple[str, str]] = {}
        for line in lines:
            pan, account_id, card_token = _checked(line)
            digest = self._digest(pan)
            if digest in self._tokens:
                raise CardFileError(f"line {line.number}: pan: stands in the file before")
            self._tokens[digest] = (account_id, card_token)

    def __call__(self, pan: str, /) -> tuple[str, str] | None:
        return self._tokens.get(self._digest(pan))

    def __len__(self) -> int:
        return len(self._tokens)

    def _digest(self, pan: str) -> bytes:
        return hashlib.blake2b(pan.encode(), digest_size=_DIGEST_BYTES, key=self._salt).digest()


def load(path: Path) -> Cards:
    """The cards in a file that ends in .json or .csv; raises CardFileError."""
    read = {".json": _json_lines, ".csv": _csv_lines}.get(path.suffix.lower())
    if read is None:
        raise CardFileError(f"{path}: the name of a card file ends in .json or .csv")
    try:
        cards = Cards(read(path))
    except OSError as error:
        raise CardFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CardFileError(f"{path}: not UTF-8") from None
    except CardFileError as error:
        raise CardFileError(f"{path}: {error}") from None
    if not len(cards):
        raise CardFileError(f"{path}: no card in it")
    return cards


def _checked(line: Line) -> tuple[str, str, str]:
    for name in FIELDS:
        pattern, form = (
            (_PAN, "12 to 19 digits") if name == "pan" else (_IDENTIFIER, "1 to 64 of letters, digits, ._:-")
        )
        content = line.fields.get(name)
        if not isinstance(content, str) or not pattern.fullmatch(content):
            raise CardFileError(f"line {line.number}: {name}: not {form}")
    pan, account_id, card_token = (line.fields[name] for name in FIELDS)
    for name, content in (("account_id", account_id), ("card_token", card_token)):
        if pan in re.sub(r"[^0-9]", "", content):
            raise CardFileError(f"line {line.number}: {name}: has the card number in it")
    return pan, account_id, card_token


def _csv_lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            missing = [name for name in FIELDS if name not in (rows.fieldnames or ())]
            if missing:
                raise CardFileError(f"line 1: no column {', '.join(missing)}")
            for row in rows:
                yield Line(rows.line_num, row)
        except csv.Error as error:
            raise CardFileError(f"line {rows.reader.line_num}: {error}") from None


def _json_lines(path: Path) -> Iterator[Line]:
    """One object after the other, so that an error can name its line."""
    text = path.read_text(encoding="utf-8-sig")
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise CardFileError(f"line {_line(text, at)}: not a JSON array")
    at, decoder = _skip(text, at + 1), JSONDecoder()
    while text[at : at + 1] != "]":
        number = _line(text, at)
        try:
            entry, end = decoder.raw_decode(text, at)
        except JSONDecodeError as error:
            raise CardFileError(f"line {error.lineno}: not JSON") from None
        if not isinstance(entry, dict):
            raise CardFileError(f"line {number}: not an object")
        yield Line(number, entry)
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            raise CardFileError(f"line {_line(text, at)}: neither a comma nor the end of the array")
    at = _skip(text, at + 1)
    if at < len(text):
        raise CardFileError(f"line {_line(text, at)}: something behind the array")


def _skip(text: str, at: int) -> int:
    """To the next character that is no blank."""
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
