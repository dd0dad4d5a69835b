"""Events as lines of JSON, and what is counted about them.

    {"at":1767225751806,"label":null,"message":{"type":"authorization-request", ...}}

`at` is when the message comes, milliseconds UTC: `transmitted_at`, but for what is repeated or was overtaken. `message`
is what the engine reads (docs/messages.md). `label` is the truth, which the engine never sees; null where there is
nothing to say, or an object with those of these that apply: `fraud` (the kind), `campaign`, `flaw`, `payment` (the
habit), `repeated`, `late`.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import msgspec

from loadtest.traffic.agenda import Said
from loadtest.traffic.labels import Labelled
from models.messages import AccountOpened

Counts = Counter[tuple[str, ...]]
"""("type", type), ("fraud", kind) of requests, ("label", type, label) and so on: see `tell`."""

_encode: Final = msgspec.json.Encoder().encode
_PLAIN_LINE: Final = b'{"at":%d,"label":null,"message":%b}\n'
_PLAIN: Final = (False, None, False, False, None, None)


class Chunk(NamedTuple):
    """What a block says in a window."""

    times: list[int]
    lines: list[bytes]


def chunk(said: list[Said], counts: Counts) -> Chunk:
    """The lines of what was said; `counts` is added to."""
    times, lines, types = [], [], []
    for at, item in said:
        message = item.message
        types.append(message.type)
        times.append(at)
        if item[1:] == _PLAIN:
            lines.append(_PLAIN_LINE % (at, _encode(message)))
        else:
            lines.append(b'{"at":%d,"label":%b,"message":%b}\n' % (at, _encode(_label(item)), _encode(message)))
            _count(item, counts)
    for name, count in Counter(types).items():
        counts["type", name] += count
    return Chunk(times, lines)


def opening(message: AccountOpened) -> bytes:
    """The line of an opening."""
    return _PLAIN_LINE % (message.transmitted_at, _encode(message))


def _label(item: Labelled) -> dict[str, str | bool]:
    label: dict[str, str | bool] = {}
    if item.pattern is not None:
        label["fraud" if item.fraud else "flaw"] = item.pattern
    if item.campaign is not None:
        label["campaign"] = item.campaign
    if item.payment is not None:
        label["payment"] = item.payment
    if item.retry:
        label["repeated"] = True
    if item.late:
        label["late"] = True
    return label


def _count(item: Labelled, counts: Counts) -> None:
    if item.retry:
        counts["repeated", item.message.type] += 1
        return
    if item.payment is not None:
        counts["payment", item.payment] += 1
    elif item.pattern is not None and item.message.type == "authorization-request":
        counts["fraud" if item.fraud else "flaw", item.pattern] += 1
        if item.campaign is not None:
            counts["campaign", item.pattern, item.campaign] += 1
