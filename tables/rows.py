"""The row format: one version byte, then MessagePack. Old rows stay readable: decoding goes by the version byte."""

from __future__ import annotations

from typing import Final

import msgspec

from models.account import Account

VERSION: Final = 1
_PREFIX: Final = bytes([VERSION])
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Account)


class UnreadableRow(ValueError):
    """The bytes are no account row of a version that this code knows."""


def encode(account: Account) -> bytes:
    """The row as stored and as written to the changelog."""
    return _PREFIX + _encoder.encode(account)


def decode(row: bytes) -> Account:
    """The account in a row; raises UnreadableRow naming the version or the field."""
    if not row or row[0] != VERSION:
        raise UnreadableRow(f"row version {row[:1].hex() or 'missing'} is not {VERSION}")
    try:
        return _decoder.decode(memoryview(row)[1:])
    except msgspec.DecodeError as error:
        raise UnreadableRow(str(error)) from error
