"""How and why the card was used: data elements 3, 22, 25 and our own layout of 61.

DE61   1  status: 0 ordinary, 5 increment by this amount, 6 increment to this total, 7 completion, 8 verification
       2  1: pre-authorisation (an estimate)
       3  1: the terminal can take a part of the amount
       4  electronic commerce indicator, two characters
A blank or missing position is 0, or no indicator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from topics.iso8583.malformed import MalformedReason, Refused

ORDINARY: Final = "0"
BY_DELTA: Final = "5"
TO_TOTAL: Final = "6"
COMPLETION: Final = "7"
VERIFICATION: Final = "8"

KINDS: Final = {
    "00": "purchase",
    "09": "purchase",  # with cashback; the cash part is not told apart
    "01": "cash-advance",
    "17": "cash-advance",  # at a counter
    "11": "quasi-cash",
    "18": "quasi-cash",  # "unique": tokens, money orders, bets
    "20": "refund",
}
"""Kind of request by the first two digits of element 3; an account verification is a 00 with an indicator."""
PROCESSING_CODES: Final = {
    "purchase": "000000",
    "cash-advance": "010000",
    "quasi-cash": "110000",
    "refund": "200000",
    "account-verification": "000000",
}

_ENTRY_MODES: Final = {
    "chip": ("05", "95"),
    "contactless": ("07", "08", "83", "91"),
    "magstripe": ("90", "02", "80"),  # 80: the chip could not be read
    "manual": ("01", "00", "79"),  # 00: the acquirer does not say
    "ecommerce": ("81", "09", "82"),
    "recurring": ("10",),  # credential on file
}
ENTRY_MODES: Final = {code: mode for mode, codes in _ENTRY_MODES.items() for code in codes}
"""Entry mode by the first two digits of element 22; the third, about PIN pads, is not read."""
ENTRY_CODES: Final = {mode: f"{codes[0]}0" for mode, codes in _ENTRY_MODES.items()}

CONDITIONS: Final = {
    "00": (True, "cardholder"),
    "01": (False, "cardholder"),
    "05": (False, "cardholder"),  # the cardholder is there, the card is not
    "08": (False, "cardholder"),  # mail or telephone
    "51": (False, "cardholder"),  # account verification
    "59": (False, "cardholder"),  # electronic commerce
    "60": (False, "merchant"),  # private use: merchant-initiated
    "61": (True, "merchant"),
}
"""(card present, initiated by) by element 25. Other codes say neither: the card was there if it was read."""
CONDITION_CODES: Final = {
    (True, "cardholder"): "00",
    (False, "cardholder"): "01",
    (False, "merchant"): "60",
    (True, "merchant"): "61",
}
CONDITION_COMPLETION: Final = "06"
CONDITION_VERIFICATION: Final = "51"
_READ_CARD: Final = frozenset({"chip", "contactless", "magstripe"})


def condition(code: str | None, entry_mode: str) -> tuple[bool, str]:
    """(card present, initiated by)."""
    return CONDITIONS.get(code or "", (entry_mode in _READ_CARD, "cardholder"))


@dataclass(frozen=True, slots=True)
class Indicators:
    """What element 61 says."""

    status: str = ORDINARY
    pre_authorization: bool = False
    partial_approval: bool = False
    ecommerce_indicator: str | None = None

    def encode(self) -> str:
        flags = f"{self.status}{self.pre_authorization:d}{self.partial_approval:d}"
        return f"{flags}{self.ecommerce_indicator or '':<2}"


def read_indicators(element: str) -> Indicators:
    """Raises Refused for a code that is not in the list above."""
    status, estimate, partial = (char if char != " " else "0" for char in f"{element:<5}"[:3])
    if status not in (ORDINARY, BY_DELTA, TO_TOTAL, COMPLETION, VERIFICATION) or {estimate, partial} - {"0", "1"}:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE61", "an indicator that is not in the list")
    return Indicators(status, estimate == "1", partial == "1", element[3:5].strip() or None)
