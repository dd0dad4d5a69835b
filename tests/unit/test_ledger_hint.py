"""The consumer group hears where the ledger is, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from sinks.ledger import hint
from sinks.ledger.hint import GroupHint

AT = TopicPartition("journal-entries", 0)


class Group:
    """As much of the consumer as a hint asks; answers when it is let to."""

    def __init__(self) -> None:
        self.heard: list[Mapping[TopicPartition, int]] = []
        self.answers = asyncio.Event()
        self.error: Exception | None = None

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.heard.append(offsets)
        await self.answers.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    monkeypatch.setattr(hint, "INTERVAL_S", 0.0)
    return Group()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_group_that_does_not_answer_holds_nothing_up_and_hears_the_latest_afterwards(group: Group) -> None:
    told = GroupHint(group)
    for offset in range(1, 4):
        told.tell({AT: offset})
        await turns()
    assert group.heard == [{AT: 1}]
    group.answers.set()
    await turns()
    told.tell({AT: 4})
    await turns()
    assert group.heard == [{AT: 1}, {AT: 4}]


async def test_words_are_not_too_many(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hint, "INTERVAL_S", 3600.0)
    told = GroupHint(group)
    group.answers.set()
    told.tell({AT: 1})
    await turns()
    assert group.heard == []
    await told.last_word({AT: 2})
    assert group.heard == [{AT: 2}]


async def test_a_refusal_is_noted_and_the_next_word_tried(group: Group, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = GroupHint(group)
    group.answers.set()
    group.error = CommitFailedError()
    told.tell({AT: 1})
    await turns()
    assert "group offset not committed" in caplog.text
    group.error = None
    told.tell({AT: 2})
    await turns()
    assert group.heard == [{AT: 1}, {AT: 2}]


async def test_the_last_word_does_not_wait_for_ever(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hint, "LAST_S", 0.01)
    told = GroupHint(group)
    await told.last_word({AT: 1})
    told.close()
    await turns()
    assert told._is_silent()


async def test_nothing_read_is_nothing_to_tell(group: Group) -> None:
    told = GroupHint(group)
    told.tell({})
    await told.last_word({})
    assert group.heard == []
