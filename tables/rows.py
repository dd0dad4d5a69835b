"""The row format. Old rows stay readable: decoding goes by the version byte.

    1  version, MessagePack
    2  version, 8 bytes: from when on a sweep has something to do here (big-endian ms), MessagePack

Fields that were added to a row's arrays have defaults; what a default cannot say is worked out when the row is read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.account import Account

VERSION: Final = 2
_FIRST: Final = 1
_PREFIX: Final = bytes([VERSION])
_DUE: Final = slice(1, 9)
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Account)


class UnreadableRow(ValueError):
    """The bytes are no account row of a version that this code knows."""


def encode(account: Account) -> bytes:
    """The row as stored and as written to the changelog."""
    return _PREFIX + account.due_at().to_bytes(8) + _encoder.encode(account)


def decode(row: bytes) -> Account:
    """The account in a row; raises UnreadableRow naming the version or the field."""
    version = row[0] if row else None
    try:
        if version == VERSION:
            return _decoder.decode(memoryview(row)[_DUE.stop :])
        if version == _FIRST:
            return _from_first(_decoder.decode(memoryview(row)[1:]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableRow(str(error)) from error
    raise UnreadableRow(f"row version {row[:1].hex() or 'missing'} is none of {_FIRST} to {VERSION}")


def due_at(row: bytes) -> int:
    """From when on a sweep has something to do in this row, without decoding it; 0 for a row that does not say."""
    return int.from_bytes(row[_DUE]) if row[0] == VERSION else 0


def _from_first(account: Account) -> Account:
    """A hold of version 1 knew neither what was authorised in all nor its own life."""
    for hold in account.holds.values():
        hold.authorized = hold.amount
        hold.life_ms = hold.expires_at - hold.placed_at
    return account
