"""How a worker leaves that is told to end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agents import app


async def test_without_a_broker_it_leaves_in_order_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of time is no unknown outcome that the process would have to be ended for."""
    ended: list[str] = []
    monkeypatch.setattr(app, "abandon", ended.append)
    monkeypatch.setattr(app, "STOPPING_S", 0.01)

    async def never(_consumer: Any) -> None:
        await asyncio.Event().wait()

    worker: Any = SimpleNamespace(decider=SimpleNamespace(revoked=never), app=SimpleNamespace(consumer=None))
    await app._finish_slice(worker)
    assert ended == []


async def test_what_goes_wrong_meanwhile_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(app, "abandon", ended.append)

    async def fails(_consumer: Any) -> None:
        raise ConnectionError("the broker is gone")

    worker: Any = SimpleNamespace(decider=SimpleNamespace(revoked=fails), app=SimpleNamespace(consumer=None))
    await app._finish_slice(worker)
    assert ended == ["the outcome of a transaction is unknown"]
