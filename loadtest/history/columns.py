"""A day's requests as columns: what a training script loads with numpy alone.

    with np.load("2026-01-01.npz") as day:
        fraudulent = day["amount"][day["fraud"] != b""]

One row for each authorisation request that is no repetition, in the order of time. Text is bytes, empty where there is
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

COLUMNS: Final = {
    "at": "i8", "account_id": "S64", "amount": "i8", "merchant_id": "S64", "merchant_country": "S2", "mcc": "i4",
    "kind": "S20", "entry_mode": "S12", "card_present": "?", "merchant_initiated": "?", "fraud": "S24",
    "campaign": "S64", "flaw": "S16",
}  # fmt: skip
"""Name and numpy type of every column; texts are cut to the longest of the day."""


class _Request(msgspec.Struct, tag="authorization-request", tag_field="type"):
    account_id: str
    amount: int
    merchant_id: str
    merchant_country: str
    mcc: int
    kind: str
    entry_mode: str
    card_present: bool
    initiated_by: str


class _Label(msgspec.Struct):
    fraud: str = ""
    campaign: str = ""
    flaw: str = ""
    repeated: bool = False


class _Event(msgspec.Struct):
    at: int
    label: _Label | None
    message: _Request


_DECODER: Final = msgspec.json.Decoder(_Event)
_MARK: Final = b'"message":{"type":"authorization-request"'


def save(events: Path, target: Path) -> int:
    """Write the columns of a file of events; returns the rows. Raises OSError."""
    rows = [row for row in map(_row, _requests(events)) if row is not None]
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    arrays: dict[str, Any] = {
        name: _narrow(np.array(list(column), dtype))
        for (name, dtype), column in zip(COLUMNS.items(), columns, strict=True)
    }
    np.savez_compressed(target, **arrays)
    return len(rows)


def _requests(events: Path) -> list[_Event]:
    with events.open("rb") as file:
        return [_DECODER.decode(line) for line in file if _MARK in line]


def _row(event: _Event) -> tuple[Any, ...] | None:
    label, message = event.label or _Label(), event.message
    if label.repeated:
        return None
    return (
        event.at, message.account_id.encode(), message.amount, message.merchant_id.encode(),
        message.merchant_country.encode(), message.mcc, message.kind.encode(), message.entry_mode.encode(),
        message.card_present, message.initiated_by == "merchant", label.fraud.encode(), label.campaign.encode(),
        label.flaw.encode(),
    )  # fmt: skip


def _narrow(column: Any) -> Any:
    """Texts no wider than they have to be."""
    if column.dtype.kind != "S":
        return column
    longest = int(np.char.str_len(column).max()) if len(column) else 1
    return column.astype(f"S{max(longest, 1)}")
