"""What history is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from loadtest.history.errors import HistoryError
from loadtest.traffic import Traffic
from loadtest.traffic.cardholders import USUAL_PER_DAY
from models.money import UnknownCurrency

RUN: Final = "h"
"""Starts every identifier of a history."""
_BYTES_PER_REQUEST: Final = 1_100
"""Of a request and what follows it: measured, rounded up."""


@dataclass(frozen=True, slots=True)
class Order:
    """The arguments; equal ones give equal files."""

    accounts: int
    days: int
    start: date  # midnight UTC
    seed: int = 1
    per_day: float = USUAL_PER_DAY  # requests per account
    currency: str = "USD"

    def traffic(self) -> Traffic:
        """Raises HistoryError naming what makes no sense."""
        if self.days < 1:
            raise HistoryError(f"days must be at least 1, not {self.days}")
        if not 1971 <= self.start.year <= 2900:
            raise HistoryError(f"the start must be between 1971 and 2900, not {self.start}")
        start_ms = int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp()) * 1000
        try:
            return Traffic(self.seed, self.accounts, RUN, self.currency, start_ms, self.per_day)
        except (ValueError, UnknownCurrency) as error:
            raise HistoryError(str(error)) from error

    @property
    def dates(self) -> list[date]:
        """Its days."""
        return [self.start + timedelta(days=day) for day in range(self.days)]

    @property
    def expected_bytes(self) -> int:
        """About how long all files will be."""
        return round(self.accounts * self.per_day * self.days * _BYTES_PER_REQUEST)
