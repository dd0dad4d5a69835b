"""A worker that ends or freezes itself at a numbered step of a commit: `python -m tests.support.faulty_worker`.

OTB_FAULT is SIGNAL:STEP:COUNT, for example KILL:commit:200 (the 200th time it comes to that step). The signal goes to
this process alone; no variable, no fault.
"""

from __future__ import annotations

import os
import signal

from agents.app import run
from agents.settings import Settings


class Fault:
    """Counts the visits to one step and raises the signal on the last."""

    def __init__(self, plan: str) -> None:
        name, self._step, count = plan.split(":")
        self._signal = getattr(signal, f"SIG{name}")
        self._left = int(count)

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


if __name__ == "__main__":
    plan = os.environ.get("OTB_FAULT")
    run(Settings(), Fault(plan) if plan else lambda _step: None)
