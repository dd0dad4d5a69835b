"""What load tests raise when something is not as it must be."""

from __future__ import annotations


class LoadtestError(Exception):
    """Something that the user can put right, or that has to be there; the message says what."""
