"""A page with plots of a history, made from its files: when people pay, how much, and what is stolen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from html import escape
from math import log10
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest.history.writing import MANIFEST, Progress
from loadtest.runs.chart import Axis, Line, line_chart
from loadtest.runs.document import document, table
from loadtest.traffic.cardholders import HOUR_MS
from loadtest.traffic.places import utc_offset

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PER_DECADE: Final = 5


class _Person(msgspec.Struct):
    account_id: str
    time_zone: str


class _Label(msgspec.Struct):
    fraud: str | None = None
    repeated: bool = False


class _Message(msgspec.Struct):
    type: str
    account_id: str
    transmitted_at: int
    amount: int | None = None
    mcc: int = 0
    initiated_by: str = "cardholder"


class _Event(msgspec.Struct):
    message: _Message
    label: _Label | None = None


class _Shape:
    """What the plots count, over requests that were not repeated."""

    def __init__(self, folder: Path) -> None:
        self._zones: dict[str, str] = {}
        self._offset = cache(utc_offset)
        for person in _read(folder / "cardholders.jsonl", msgspec.json.Decoder(_Person)):
            self._zones[person.account_id] = person.time_zone
        self.hours: Counter[tuple[str, int]] = Counter()
        self.days: Counter[tuple[str, int]] = Counter()
        self.amounts: Counter[tuple[str, int]] = Counter()
        self.dates: Counter[tuple[str, int]] = Counter()

    def take(self, event: _Event) -> None:
        message, label = event.message, event.label
        zone = self._zones.get(message.account_id)
        if message.type != "authorization-request" or zone is None or (label is not None and label.repeated):
            return
        who = "thieves" if label is not None and label.fraud else message.initiated_by + "s"
        utc = message.transmitted_at // HOUR_MS
        hour = utc + self._offset(zone, utc)
        self.hours[who, hour % 24] += 1
        self.days[who, (hour // 24 + 3) % 7] += 1
        self.dates[who, hour // 24] += 1
        if message.amount:
            self.amounts[who, _bin(message.amount)] += 1


def page(folder: Path, on_progress: Progress) -> str:
    """The document. Raises OSError when the history cannot be read."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    shape, decoder = _Shape(folder), msgspec.json.Decoder(_Event)
    files = [file["name"] for file in manifest["files"][2:] if file["name"].endswith(".jsonl")]
    for number, name in enumerate(files):
        for event in _read(folder / name, decoder):
            shape.take(event)
        on_progress("days read", number + 1, len(files))
    title = f"{manifest['accounts']:,} accounts, {manifest['days']} days from {manifest['start']}"
    first = (date.fromisoformat(manifest["start"]) - date(1970, 1, 1)).days
    hours = [(float(hour), f"{hour:02d}:00") for hour in range(0, 24, 3)]
    days = [(float(day), name) for day, name in enumerate(_DAYS)]
    return document(title, [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">Simulated by opentobuy {escape(manifest["version"])}, seed {manifest["seed"]}: '
        f"{manifest['events']:,} events, {manifest['requests']:,} requests, {manifest['fraud_share']:.2%} of them "
        "fraudulent. Shares are of the requests of each group: cardholders, merchants (bills), thieves.</p>",
        _plot("Hour, where the cardholder lives", shape.hours, Axis("hour", ticks=hours), range(24)),
        _plot("Weekday", shape.days, Axis("weekday", ticks=days), range(7)),
        _plot("Amount", shape.amounts, Axis(manifest["currency"], logarithmic=True), _bins(shape), _amount),
        _plot("Day", shape.dates, Axis("days from the start"), _dates(shape), lambda day: float(day - first)),
        "<h2>Fraudulent requests</h2>",
        table(["kind", "requests", "campaigns"], [
            [kind, f"{each['requests']:,}", f"{each['campaigns']:,}"]
            for kind, each in manifest["fraud_by_kind"].items()
        ]),
        "<h2>Events</h2>",
        table(["type", "number", "share"], [
            [name, f"{count:,}", f"{count / manifest['events']:.2%}"]
            for name, count in manifest["events_by_type"].items()
        ]),
        "<h2>Payments</h2>",
        table(["kind", "number"], [[name, f"{count:,}"] for name, count in manifest["payments_by_kind"].items()]),
    ])  # fmt: skip


def _plot(
    title: str,
    counts: Counter[tuple[str, int]],
    x: Axis,
    steps: range,
    place: Callable[[int], float] = float,
) -> str:
    lines = []
    for colour, who in enumerate(("cardholders", "merchants", "thieves")):
        total = sum(count for (name, _), count in counts.items() if name == who)
        if total:
            points = [(place(step), 100 * counts[who, step] / total) for step in steps]
            lines.append(Line(who, points, colour))
    return line_chart(title, lines, x, Axis("per cent"))


def _bin(amount: int) -> int:
    """Five for each power of ten."""
    return int(log10(amount) * _PER_DECADE + 1e-9)


def _bins(shape: _Shape) -> range:
    steps = [step for _, step in shape.amounts]
    return range(min(steps, default=0), max(steps, default=0) + 1)


def _amount(step: int) -> float:
    """The middle of a bin, in major units of two decimals."""
    return float(10 ** ((step + 0.5) / _PER_DECADE)) / 100


def _dates(shape: _Shape) -> range:
    days = [day for _, day in shape.dates]
    return range(min(days, default=0), max(days, default=0) + 1)


def _read(path: Path, decoder: msgspec.json.Decoder[Any]) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)
