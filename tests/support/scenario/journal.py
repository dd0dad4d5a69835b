"""The sums of a story's journal entries, against which the row is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Journal:
    """The story's journal entries, added up by ledger account; debit positive."""

    sums: Counter[str] = field(default_factory=Counter)
    last: int = 0
    fault: str = ""

    def add(self, entry: Mapping[str, Any]) -> None:
        if entry["sequence"] != self.last + 1:
            self.fault = self.fault or f"entry {entry['sequence']} after {self.last}"
        self.last = entry["sequence"]
        if sum(posting["amount"] for posting in entry["postings"]) or not entry["postings"]:
            self.fault = self.fault or f"entry {self.last} ({entry['entry_type']}) does not balance"
        for posting in entry["postings"]:
            self.sums[posting["ledger_account"]] += posting["amount"]
