"""What can go wrong with a peer; each message is one line and becomes the peer's row in the report.

PeerError
├── Unavailable     it cannot be set up here
└── PeerFailed      it was set up, and ended or did not do what it should in time
"""

from __future__ import annotations


class PeerError(Exception):
    """Something is wrong with one peer; the others go on."""


class Unavailable(PeerError):
    """A peer cannot be set up here."""


class PeerFailed(PeerError):
    """A peer ended, or did not do what it should in time."""
