"""What ends a run of the scaling test; the message is one line."""

from __future__ import annotations

from loadtest.errors import LoadtestError


class ScalingError(LoadtestError):
    """The run cannot go on, or its plan makes no sense."""
