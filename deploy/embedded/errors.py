"""What can go wrong with an embedded server; each message is one line that a user can act on.

EmbeddedError
├── StartError      a server, or a file it needs, could not be had
│   └── PortTaken   somebody took the port first: worth another try
└── NoRunError      no run of ours is up
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """A server of ours is not there; the message says why and what to do."""


class StartError(EmbeddedError):
    """A server, or a file it needs, could not be had."""


class PortTaken(StartError):
    """A port was free when chosen and taken when used."""


class NoRunError(EmbeddedError):
    """No live run was found."""
