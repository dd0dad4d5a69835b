"""What can go wrong while a history is made."""

from __future__ import annotations

from loadtest.errors import LoadtestError


class HistoryError(LoadtestError):
    """The history was not made; the message says why, and nothing is left under its name."""
