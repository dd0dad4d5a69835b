"""Network management: 0800 is answered 0810 here, without the engine.

Sign-on and sign-off are acknowledged and change nothing: a link that is open takes requests.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from topics.iso8583 import Malformed
from topics.iso8583.packager import MESSAGE_TYPE, Elements, pack, unpack

REQUESTS: Final = (b"0800", b"0801")
SIGN_ON: Final = "001"
SIGN_OFF: Final = "002"
ECHO: Final = "301"
_ECHOED: Final = (7, 11, 12, 13, 15, 24, 32, 33, 37, 41, 53, 63, 70, 99, 100)
_DONE, _INVALID, _FORMAT_ERROR = "00", "12", "30"


class Answer(NamedTuple):
    code: str  # element 39
    response: bytes


def is_management(raw: bytes) -> bool:
    return raw[:4] in REQUESTS


def answer(raw: bytes) -> Answer | Malformed:
    """The 0810 to a request for which `is_management`; Malformed when its elements cannot be read."""
    request = unpack(raw)
    if isinstance(request, Malformed):
        return request
    code = _FORMAT_ERROR
    if 70 in request:
        code = _DONE if request[70] in (SIGN_ON, SIGN_OFF, ECHO) else _INVALID
    response: Elements = {MESSAGE_TYPE: "0810", 39: code}
    return Answer(code, pack(response | {number: request[number] for number in _ECHOED if number in request}))
