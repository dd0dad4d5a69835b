"""What can go wrong while a history is made."""

from __future__ import annotations


class HistoryError(Exception):
    """The history was not made; the message says why, and nothing is left under its name."""
