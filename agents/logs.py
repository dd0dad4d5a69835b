"""What our processes log, and how often they say the same.

aiokafka and our own retries log every attempt. A broker that is away for ten seconds made a thousand lines, in which
the one that says something else was not found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET_S: Final = 10.0
"""A message that was not heard for so long is a new one."""
AGAIN_S: Final = 60.0
"""One that does not end is told this often."""

_Said = tuple[str, int, str]
"""(logger, level, message)"""


@dataclass(slots=True)
class _Run:
    """The same message again and again."""

    heard: float
    told: float
    times: int = 0


class Repeats(logging.Filter):
    """Of a message that repeats itself the 1st, 2nd, 4th, 8th, ... and one a minute, with how many there were.

    One that names another row, partition or node is another message. Critical ones are always told, and so are those
    with a traceback.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._runs: dict[_Said, _Run] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to tell it; how often it came by then is `record.times`."""
        if record.levelno >= logging.CRITICAL or record.exc_info:
            return True
        now = self._clock()
        run = self._run((record.name, record.levelno, record.getMessage()), now)
        run.heard, run.times = now, run.times + 1
        if run.times & (run.times - 1) and now - run.told < AGAIN_S:
            return False
        run.told, record.times = now, run.times
        return True

    def _run(self, said: _Said, now: float) -> _Run:
        run = self._runs.get(said)
        if run is None or now - run.heard > QUIET_S:
            self._runs = {known: each for known, each in self._runs.items() if now - each.heard <= QUIET_S}
            run = self._runs[said] = _Run(heard=now, told=now)
        return run


class _Counting(logging.Formatter):
    """Another formatter's line, and how often it came."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        line, times = self._formatter.format(record), getattr(record, "times", 1)
        return line if times == 1 else f"{line} ({times:,} times now)"


def calm(logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
    """Let every handler of this logger tell repeated messages less often."""
    for handler in logger.handlers:
        handler.addFilter(Repeats(clock))
        handler.setFormatter(_Counting(handler.formatter or logging.Formatter()))


def log_to_stderr() -> None:
    """For processes that Faust does not run."""
    logging.basicConfig(force=True, level=logging.INFO, format=_FORMAT)
    calm(logging.root)
