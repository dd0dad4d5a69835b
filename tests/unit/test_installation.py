"""Kafka is learned once, however many want to start it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.embedded import installation
from deploy.embedded.kafka import learned


def test_those_who_start_at_once_wait_for_the_one_that_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars, began = [tmp_path / "kafka.jar"], list[float]()

    def learn(jars: list[Path]) -> None:
        began.append(time.monotonic())
        time.sleep(0.1)
        learned(jars).touch()

    monkeypatch.setattr(installation, "obtain_jars", lambda _home, _say: jars)
    monkeypatch.setattr(installation, "_learn", learn)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _found(installation.install_kafka(tmp_path, lambda _line: None)), range(4)))
    assert len(began) == 1
    assert found == [True] * 4


def _found(jars: list[Path]) -> bool:
    return learned(jars).exists()


def test_the_next_one_learns_what_the_first_could_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars, tries = [tmp_path / "kafka.jar"], list[Path]()
    monkeypatch.setattr(installation, "obtain_jars", lambda _home, _say: jars)
    monkeypatch.setattr(installation, "_learn", tries.extend)
    for _ in range(2):
        assert installation.install_kafka(tmp_path, lambda _line: None) == jars
    assert tries == jars * 2
