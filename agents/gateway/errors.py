"""What ends the gateway, or keeps it from starting; every message is one line for the operator.

GatewayError
    CardFileError     the card file cannot be used: names the line, never a card number
    Unavailable       Kafka or a topic is not there, or the address cannot be listened on
    NotUndone         it ends, and reversals of timed-out authorisations did not reach Kafka
"""

from __future__ import annotations


class GatewayError(Exception):
    """The gateway cannot go on."""


class CardFileError(GatewayError):
    """The card file cannot be read or has a line that is no card."""


class Unavailable(GatewayError):
    """Something outside does not answer."""


class NotUndone(GatewayError):
    """Holds may remain of authorisations that were answered with 91."""
