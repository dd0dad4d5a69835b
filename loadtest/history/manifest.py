"""What a history holds: arguments, counts, and the digest of every file."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final, TypedDict

import orjson

from loadtest.history.lines import Counts
from loadtest.history.order import RUN, Order

FORMAT: Final = 1
"""Of the files. Another layout is another number."""


class File(TypedDict):
    """One file of the history."""

    name: str
    events: int
    bytes: int
    sha256: str


def manifest(order: Order, version: str, counts: Counts, files: list[File]) -> bytes:
    """The document; it holds nothing that differs between two runs with equal arguments."""
    by = _grouped(counts)
    requests = by["type"]["authorization-request"] - by["repeated"]["authorization-request"]
    fraud = sum(by["fraud"].values())
    campaigns = Counter(kind for name, kind, *_ in counts if name == "campaign")
    document: dict[str, Any] = {
        "what": "simulated, labelled card traffic",
        "format": FORMAT,
        "version": version,
        "seed": order.seed,
        "accounts": order.accounts,
        "start": order.start.isoformat(),
        "days": order.days,
        "requests_per_account_day": order.per_day,
        "currency": order.currency,
        "identifiers_start_with": RUN,
        "events": sum(by["type"].values()),
        "events_by_type": _sorted(by["type"]),
        "repeated_by_type": _sorted(by["repeated"]),
        "requests": requests,
        "fraudulent_requests": fraud,
        "fraud_share": round(fraud / requests, 6) if requests else 0.0,
        "fraud_by_kind": {
            kind: {"requests": count, "campaigns": campaigns[kind]} for kind, count in sorted(by["fraud"].items())
        },
        "flawed_requests_by_kind": _sorted(by["flaw"]),
        "payments_by_kind": _sorted(by["payment"]),
        "files": files,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _grouped(counts: Counts) -> defaultdict[str, Counter[str]]:
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (name, value, *_), count in counts.items():
        found[name][value] += count
    return found


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
