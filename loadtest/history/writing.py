"""Writes a history into a folder that appears when it is whole.

    FOLDER/manifest.json         arguments, counts, digests
    FOLDER/cardholders.jsonl     who the cardholders are: income, habits, limits
    FOLDER/openings.jsonl        the account-opened messages
    FOLDER/2026-01-01.jsonl ...  the events of each day, UTC, in the order of time
    FOLDER/2026-01-01.npz ...    its requests as columns, if they are asked for

It is made in a folder beside it, which is renamed at the end, or removed when something fails.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from loadtest.history.columns import save as save_columns
from loadtest.history.errors import HistoryError
from loadtest.history.lines import Chunk, Counts, opening
from loadtest.history.manifest import File, manifest
from loadtest.history.order import Order
from loadtest.history.playing import Window, players
from loadtest.traffic import Traffic

Progress = Callable[[str, int, int], None]
"""Gets what is counted, how many are done, and of how many."""
MANIFEST: Final = "manifest.json"
_MOST_PROCESSES: Final = 64


def write(order: Order, folder: Path, processes: int, on_progress: Progress, *, columns: bool = False) -> bytes:
    """Make the history and return its manifest. Raises HistoryError; then nothing is left of it."""
    if not 1 <= processes <= _MOST_PROCESSES:
        raise HistoryError(f"processes must be between 1 and {_MOST_PROCESSES}, not {processes}")
    if folder.exists():
        raise HistoryError(f"{folder} exists already; a history needs a new folder")
    workshop = folder.parent / f".{folder.name}.{os.getpid()}.unfinished"
    try:
        _require_room(order, folder.parent)
        traffic = order.traffic()
        workshop.mkdir()
        document = _fill(order, traffic, workshop, processes, on_progress, columns=columns)
        workshop.rename(folder)
    except OSError as error:
        raise HistoryError(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return document


def _require_room(order: Order, parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if order.expected_bytes > free:
        raise HistoryError(
            f"about {order.expected_bytes / 1e9:,.1f} GB are needed, {free / 1e9:,.1f} GB are free in {parent}"
        )


def _fill(
    order: Order, traffic: Traffic, workshop: Path, processes: int, on_progress: Progress, *, columns: bool
) -> bytes:
    counts: Counts = Counts()
    openings = [opening(message) for message in traffic.openings()]
    counts["type", "account-opened"] = len(openings)
    people = [msgspec.json.encode(person) + b"\n" for person in traffic.people]
    files = [_save(workshop / "cardholders.jsonl", [people]), _save(workshop / "openings.jsonl", [openings])]
    plan = traffic.plan
    per_day = 24 // plan.window_hours
    with players(order, plan.blocks, processes, per_day * order.days) as every_window:
        for number, day in enumerate(order.dates):
            parts = _in_order(islice(every_window, per_day), counts)
            events = workshop / f"{day.isoformat()}.jsonl"
            files.append(_save(events, parts))
            if columns:
                files.append(_as_columns(events))
            on_progress("days made", number + 1, order.days)
    document = manifest(order, version("opentobuy"), counts, files)
    (workshop / MANIFEST).write_bytes(document)
    return document


def _in_order(windows: Iterator[Window], counts: Counts) -> Iterator[list[bytes]]:
    for chunks, counted in windows:
        for key, count in counted:
            counts[key] += count
        yield merged(chunks)


def merged(chunks: list[Chunk]) -> list[bytes]:
    """The lines of all chunks in the order of time; at one instant, in the order of chunks."""
    times = np.array([at for chunk in chunks for at in chunk.times], np.int64)
    lines = [line for chunk in chunks for line in chunk.lines]
    return [lines[place] for place in np.argsort(times, kind="stable").tolist()]


def _as_columns(events: Path) -> File:
    target = events.with_suffix(".npz")
    rows = save_columns(events, target)
    content = target.read_bytes()
    return File(name=target.name, events=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _save(path: Path, parts: Iterable[list[bytes]]) -> File:
    """`parts`: lines, a window at a time."""
    digest, events, size = hashlib.sha256(), 0, 0
    with path.open("wb") as file:
        for lines in parts:
            content = b"".join(lines)
            digest.update(content)
            events += len(lines)
            size += file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return File(name=path.name, events=events, bytes=size, sha256=digest.hexdigest())
