"""Card numbers in the fields of inbound messages: refused where they would be kept, masked where they decide nothing
(decision 18).

    account_id, card_token, names of controls    ours: no card number, however short or hidden
    references, message_id, merchant ids         other people's numbers: none of 16 digits or more that stands apart
    merchant_name, merchant_city                 masked
    all others                                   too short, numbers, or one of a list
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from models import card_numbers
from models.messages import ControlsSet, Inbound

_OURS: Final = ("account_id", "card_token")
_THEIRS: Final = ("network_reference", "original_reference", "message_id", "merchant_id")
_TEXTS: Final = ("merchant_name", "merchant_city")


def hide(message: Inbound) -> str | None:
    """Mask card numbers in texts; instead the name of the first field with one that would be kept, if there is any."""
    name = _refused(message)
    if name is None:
        _mask(message)
    return name


def _refused(message: Inbound) -> str | None:
    for name, text in _texts(message, _OURS):
        if card_numbers.stands_in(text):
            return name
    for name, text in _texts(message, _THEIRS):
        if card_numbers.stands_apart_in(text):
            return name
    return _refused_control(message) if isinstance(message, ControlsSet) else None


def _mask(message: Inbound) -> None:
    """Turn the middle of card numbers in texts into asterisks."""
    for name, text in _texts(message, _TEXTS):
        masked = card_numbers.masked(text.encode()).decode()
        if masked != text:
            setattr(message, name, masked)


def _texts(message: Any, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        text = getattr(message, name, None)
        if text is not None:
            yield name, text


def _refused_control(message: ControlsSet) -> str | None:
    names = {f"velocity.{number}.name": rule.name for number, rule in enumerate(message.velocity)}
    names |= {f"lists.{number}.name": rule.name for number, rule in enumerate(message.lists)}
    for field, name in names.items():
        if card_numbers.stands_in(name):
            return field
    for number, rule in enumerate(message.lists):
        if any(map(card_numbers.stands_apart_in, rule.values)):
            return f"lists.{number}.values"
    return None
