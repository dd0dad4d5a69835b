"""`python -m tests.integration.hold_servers`: start servers as the OTB_* settings say, print the run's folder, and hold
them until interrupted. A program of its own, so that a test can kill it."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from agents.settings import Settings
from deploy.embedded import servers


def main() -> None:
    with suppress(KeyboardInterrupt), servers(Settings(), lambda message: print(message, file=sys.stderr)) as run:
        print(run.folder, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
