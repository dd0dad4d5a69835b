"""The row as a later release could have it: version 3 has a checksum of the content behind its header.

3  version, 8 bytes as in 2, 4 bytes CRC-32 of the MessagePack, MessagePack
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from models.account import Account
from tables import rows

NUMBER: Final = 3


def encode(account: Account) -> bytes:
    header, content = rows.encode(account)[1:9], rows.encode(account)[9:]
    return bytes([NUMBER]) + header + zlib.crc32(content).to_bytes(4) + content


def decode(row: bytes) -> Account:
    header, checksum, content = row[1:9], row[9:13], row[13:]
    if zlib.crc32(content).to_bytes(4) != checksum:
        raise msgspec.DecodeError("the row's checksum does not fit")
    return rows.decode(b"\x02" + header + content)


VERSION: Final = rows.Version(decode, rows.VERSIONS[2].due_at, encode)


def install() -> None:
    """This process is of the later release from here on."""
    rows.VERSIONS[NUMBER] = VERSION
