"""The row format. Old rows stay readable: decoding goes by the version byte.

    1  version, MessagePack
    2  version, 8 bytes: from when on a sweep has something to do here (big-endian ms), MessagePack

Fields that were added to a row's arrays have defaults; what a default cannot say is worked out when the row is read.

A row of a newer version, or with more fields than this release knows, is refused and not read as far as it goes:
written again it would have lost what the newer release put into it. So that a release with a new version can be rolled
out beside the old one and taken back, it still writes the old version when told to (OTB_ROW_VERSION, docs/upgrades.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from models.account import Account

_PREFIX: Final = b"\x02"
_DUE: Final = slice(1, 9)
_MORE_FIELDS: Final = "array` of at most length"  # msgspec has no type of its own for it
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Account)

Encode = Callable[[Account], bytes]


class UnreadableRow(ValueError):
    """The bytes are no account row of a version that this code knows."""


class NewerRow(UnreadableRow):
    """A later release wrote the row. No message is to blame, and this release must not decide on it."""


class UnwritableVersion(ValueError):
    """Rows of that version are not written by this release."""


class Version(NamedTuple):
    """How rows of one version are read and, by a release that may stand beside an older one, written."""

    decode: Callable[[bytes], Account]  # raises msgspec.DecodeError
    due_at: Callable[[bytes], int]
    encode: Encode | None  # None: no release that could still be rolled back to wrote it


def encode(account: Account) -> bytes:
    """The row as stored and as written to the changelog, in the newest version."""
    return _PREFIX + account.due_at().to_bytes(8) + _encoder.encode(account)


def _decode_second(row: bytes) -> Account:
    return _decoder.decode(memoryview(row)[_DUE.stop :])


def _decode_first(row: bytes) -> Account:
    """A hold of version 1 knew neither what was authorised in all nor its own life."""
    account = _decoder.decode(memoryview(row)[1:])
    for hold in account.holds.values():
        hold.authorized = hold.amount
        hold.life_ms = hold.expires_at - hold.placed_at
    return account


VERSIONS: Final = {
    1: Version(_decode_first, lambda _row: 0, None),
    2: Version(_decode_second, lambda row: int.from_bytes(row[_DUE]), encode),
}


def encoder(version: int | None = None) -> Encode:
    """What writes rows of `version`, None for the newest; raises UnwritableVersion."""
    chosen = VERSIONS.get(max(VERSIONS) if version is None else version)
    if chosen is None or chosen.encode is None:
        writable = ", ".join(str(number) for number, each in VERSIONS.items() if each.encode is not None)
        raise UnwritableVersion(f"this release does not write rows of version {version}, only of {writable}")
    return chosen.encode


def require_known(rows: Iterable[bytes | None]) -> None:
    """Raise NewerRow if there is a row of a later version among them; looks at their first bytes alone."""
    newest = max(VERSIONS)
    for row in rows:
        if row and row[0] > newest:
            raise NewerRow(
                f"a row has version {row[0]}, this release reads up to {newest}: "
                "a later release has written here (docs/upgrades.md)"
            )


def decode(row: bytes) -> Account:
    """The account in a row; raises UnreadableRow naming the version or the field, NewerRow among them."""
    version = VERSIONS.get(row[0]) if row else None
    if version is None:
        require_known([row])
        raise UnreadableRow(f"row version {row[:1].hex() or 'missing'} is none of {', '.join(map(str, VERSIONS))}")
    try:
        return version.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _MORE_FIELDS in str(error):
            raise NewerRow(f"a row has fields that this release does not know: {error} (docs/upgrades.md)") from error
        raise UnreadableRow(str(error)) from error


def account(account_id: str, row: bytes) -> Account:
    """The account in the row that is kept under `account_id`; raises as `decode` does, also when it is another's."""
    found = decode(row)
    if found.account_id != account_id:
        raise UnreadableRow(f"it is the row of account {found.account_id}")
    return found


def due_at(row: bytes) -> int:
    """From when on a sweep has something to do in this row, without decoding it; 0 for a row that does not say."""
    version = VERSIONS.get(row[0]) if row else None
    return 0 if version is None else version.due_at(row)
