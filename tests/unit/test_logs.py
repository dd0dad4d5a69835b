"""How often the same message is told."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.logs import AGAIN_S, QUIET_S, calm


class Lines(logging.Handler):
    """What it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Stage:
    """A logger with a calmed handler, and another that hears everything."""

    def __init__(self) -> None:
        self.now = 0.0
        self.logger, calmed, other = logging.Logger("aiokafka", logging.INFO), Lines(), Lines()
        self.told, self.all = calmed.lines, other.lines
        self.logger.addHandler(calmed)
        calm(self.logger, lambda: self.now)
        self.logger.addHandler(other)

    def repeat(self, times: int, every_s: float = 0.1) -> None:
        for _ in range(times):
            self.now += every_s
            self.logger.error("no connection to node %d", 1)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_message_that_repeats_itself_is_told_at_powers_of_two(stage: Stage) -> None:
    stage.repeat(20)
    assert stage.told == [
        "no connection to node 1",
        "no connection to node 1 (2 times now)",
        "no connection to node 1 (4 times now)",
        "no connection to node 1 (8 times now)",
        "no connection to node 1 (16 times now)",
    ]


def test_other_handlers_get_every_record_as_it_was(stage: Stage) -> None:
    stage.repeat(5)
    assert stage.all == ["no connection to node 1"] * 5


def test_what_says_something_else_is_told_in_between(stage: Stage) -> None:
    stage.repeat(6)
    stage.logger.error("the disk is full")
    stage.logger.warning("no connection to node %d", 1)
    stage.logger.error("no connection to node %d", 2)
    stage.repeat(1)
    assert stage.told[-3:] == ["the disk is full", "no connection to node 1", "no connection to node 2"]


def test_after_a_while_of_silence_it_is_a_new_message(stage: Stage) -> None:
    stage.repeat(3)
    stage.now += QUIET_S + 1
    stage.repeat(1)
    assert stage.told[-1] == "no connection to node 1"


def test_one_that_does_not_end_is_told_every_minute(stage: Stage) -> None:
    stage.repeat(10_000)
    rests = [line for line in stage.told if "times now" in line]
    minutes = 10_000 * 0.1 / AGAIN_S
    assert minutes - 1 <= len(rests) <= minutes + 14


@pytest.mark.parametrize("level", [logging.CRITICAL, logging.ERROR])
def test_critical_ones_and_tracebacks_are_always_told(stage: Stage, level: int) -> None:
    for _ in range(9):
        stage.logger.log(level, "worker ends", exc_info=None if level == logging.CRITICAL else ValueError("a bug"))
    assert [line.splitlines()[0] for line in stage.told] == ["worker ends"] * 9


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 15)), max_size=200))
def test_the_last_number_told_is_never_less_than_half_of_what_there_was(said: list[tuple[int, float]]) -> None:
    stage, heard, counts, told = Stage(), dict[int, float](), dict[int, int](), dict[int, int]()
    for message, pause in said:
        stage.now += pause
        if stage.now - heard.get(message, stage.now) > QUIET_S:
            counts.pop(message, None)
        heard[message], counts[message] = stage.now, counts.get(message, 0) + 1
        before = len(stage.told)
        stage.logger.error(f"message {message}")
        for line in stage.told[before:]:
            _name, _, rest = line.partition(" (")
            told[message] = int(rest.split()[0]) if rest else 1
        assert counts[message] < 2 * told[message] <= 2 * counts[message]
