"""Plays the blocks of a history, in this process or in several, and hands out window after window."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from loadtest.history.errors import HistoryError
from loadtest.history.lines import Chunk, Counts, chunk
from loadtest.history.order import Order

Window = tuple[list[Chunk], list[tuple[tuple[str, ...], int]]]
"""A chunk for each block, and what was counted."""
_DECODER: Final = msgspec.msgpack.Decoder(Window)


def windows(order: Order, blocks: Sequence[int], count: int) -> Iterator[Window]:
    """`count` windows of these blocks, played here."""
    for window in islice(order.traffic().windows(blocks), count):
        counts: Counts = Counts()
        chunks = [chunk(said, counts) for said in window]
        yield chunks, list(counts.items())


@contextmanager
def players(order: Order, blocks: int, processes: int, count: int) -> Iterator[Iterator[Window]]:
    """`count` windows of all blocks, played by so many processes; they end with the context."""
    with _no_collector():
        if processes == 1:
            yield windows(order, range(blocks), count)
            return
        context = multiprocessing.get_context("spawn")
        started = []
        try:
            for number in range(min(processes, blocks)):
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_play, args=(order, range(number, blocks, processes), count, theirs), daemon=True
                )
                process.start()
                theirs.close()
                started.append((process, mine))
            yield _together([mine for _, mine in started], blocks, processes, count)
        finally:
            for process, mine in started:
                mine.close()
                process.terminate()
                process.join()


def _play(order: Order, blocks: Sequence[int], count: int, sink: Connection) -> None:
    """In a process of its own. A closed pipe means that nobody wants more."""
    with _no_collector():
        try:
            for window in windows(order, blocks, count):
                sink.send_bytes(msgspec.msgpack.encode(window))
        except (BrokenPipeError, KeyboardInterrupt):
            return


def _together(sources: Sequence[Connection], blocks: int, processes: int, count: int) -> Iterator[Window]:
    """Each window with its chunks in the order of blocks, whoever made them."""
    for _ in range(count):
        chunks: list[Chunk] = [Chunk([], [])] * blocks
        counts: list[tuple[tuple[str, ...], int]] = []
        for number, source in enumerate(sources):
            try:
                part, counted = _DECODER.decode(source.recv_bytes())
            except (EOFError, OSError) as error:  # between two windows, or in the middle of one
                raise HistoryError("a process that makes events ended before its work was done") from error
            chunks[number::processes] = part
            counts += counted
        yield chunks, counts


@contextmanager
def _no_collector() -> Iterator[None]:
    """Nothing here makes cycles, and the collector would walk through all that waits: a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
