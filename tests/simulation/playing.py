"""Plays histories; one that goes wrong is played again with its schedule written down."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.history import History

SEEDS = Path(__file__).with_name("seeds.txt")


class Found(AssertionError):
    """A history that went wrong: its seed, its schedule, and what was found."""

    def __init__(self, seed: int, schedule: list[str], what: AssertionError) -> None:
        again = f"python -m tests.simulation --seed {seed} --trace"
        super().__init__("\n".join(["", *schedule, f"seed {seed}: {what!r}", f"again: {again}"]))
        self.seed = seed


def play(seed: int) -> History:
    """Raises Found."""
    history = History(seed)
    try:
        history.run()
    except AssertionError as error:
        raise Found(seed, schedule_of(seed), error) from error
    return history


def schedule_of(seed: int) -> list[str]:
    """Every turn of a history, and what became of it if it went wrong."""
    history = History(seed, traced=True)
    try:
        history.run()
    except AssertionError as error:
        history.schedule.note("WRONG:", repr(error))
    return history.schedule.log


def kept_seeds() -> list[int]:
    """Of histories that once found something."""
    lines = SEEDS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]
