"""What ends a run of the scaling test; the message is one line."""

from __future__ import annotations


class ScalingError(Exception):
    """The run cannot go on, or its plan makes no sense."""
