"""Coroutines moved by hand, one await at a time, so that the scheduler can come between any two."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Waiting(NamedTuple):
    """Where a coroutine stands, and whether it may go on."""

    what: str
    ready: Callable[[], bool]


def _at_once() -> bool:
    return True


@types.coroutine
def turn(what: str) -> Generator[Waiting, None, None]:
    """Let the others go first, or not."""
    yield Waiting(what, _at_once)


@types.coroutine
def until(what: str, ready: Callable[[], bool]) -> Generator[Waiting, None, None]:
    """Goes on at a moment at which `ready` says so."""
    yield Waiting(what, ready)


class Activity:
    """One coroutine of one process. `error` is what it ended with; it does not go on before turn `asleep`."""

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.name = name
        self.waiting = Waiting("start", _at_once)
        self.asleep = 0
        self.done = False
        self.error: BaseException | None = None
        self._coroutine = coroutine

    def go(self) -> None:
        """To the next await."""
        if self.done:
            return
        try:
            self.waiting = _waiting(self._coroutine.send(None))
        except StopIteration:
            self.done = True
        except BaseException as error:  # whoever made the activity decides what it means
            self.done, self.error = True, error

    def cancel(self) -> None:
        """As a task is: what it has in hand it lets go of."""
        try:
            self._coroutine.throw(asyncio.CancelledError())
        except (asyncio.CancelledError, StopIteration):
            self.done = True

    def drop(self) -> None:
        """It never goes on."""
        self.done = True
        self._coroutine.close()


def _waiting(given: Any) -> Waiting:
    """What asyncio's own parts yield is a future, or None for the next round of the loop."""
    if isinstance(given, Waiting):
        return given
    if given is None:
        return Waiting("loop", _at_once)
    given._asyncio_future_blocking = False
    return Waiting("future", given.done)


class _Loop:
    """As much of an event loop as locks, events and sleeps ask for. Time takes no time: a sleeper may go on whenever
    the scheduler likes."""

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_later(self, _delay: float, callback: Callable[..., Any], *args: Any) -> _Timer:
        callback(*args)
        return _Timer()


class _Timer:
    def cancel(self) -> None:
        """It has run."""


@contextmanager
def by_hand() -> Iterator[None]:
    """Within it, asyncio's locks and events belong to coroutines that are moved by hand."""
    asyncio._set_running_loop(_Loop())  # type: ignore[arg-type]
    try:
        yield
    finally:
        asyncio._set_running_loop(None)
