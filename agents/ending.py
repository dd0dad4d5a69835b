"""The ways in which a worker ends by itself. All are at once: what it has in memory may not be trusted or flushed."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from typing import Final, NoReturn

from topics.transport.recovery import RecoveryOverdue

EXIT_UNKNOWN_OUTCOME: Final = 70
"""The worker ended because a transaction's outcome is unknown, its tables could not be restored, they are damaged or
their disk is full, or it stood still; restart it."""

EXIT_REFUSED: Final = 1
"""The worker must not go on with what it found, and a restart does not help."""

log = logging.getLogger(__name__)


def abandon(reason: str) -> NoReturn:
    """Because of the exception being handled, with its trace."""
    log.critical("worker ends: %s", reason, exc_info=True)
    _end(EXIT_UNKNOWN_OUTCOME)


def give_up(reason: Exception | str) -> NoReturn:
    """Because of something that is known and needs no trace."""
    log.critical("worker ends: %s", reason)
    _end(EXIT_UNKNOWN_OUTCOME)


def crashed(reason: BaseException) -> NoReturn:
    """Because a part of Faust has failed, with its trace unless that tells nothing."""
    if isinstance(reason, RecoveryOverdue):
        give_up(reason)
    log.critical("worker ends: a part of it has failed", exc_info=reason)
    _end(EXIT_UNKNOWN_OUTCOME)


def refuse(reason: Exception) -> NoReturn:
    """What is open is aborted by the broker, and nobody's record is to blame."""
    log.critical("worker ends: %s", reason)
    _end(EXIT_REFUSED)


def stand_still(reason: str) -> NoReturn:
    """From the watchdog's thread. Where every thread stands is written out; not by way of the logger, which may be what
    the worker stands still in."""
    os.write(sys.stderr.fileno(), f"worker ends: {reason}\n".encode())
    faulthandler.dump_traceback(sys.stderr)
    os._exit(EXIT_UNKNOWN_OUTCOME)


def _end(code: int) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
