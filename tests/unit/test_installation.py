"""Kafka is learned once, however many want to start it, and again when it is not what was learned any more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.embedded import installation
from deploy.embedded.kafka import learned


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What an installation has instead of Kafka's."""
    jars = [tmp_path / "kafka.jar", tmp_path / "log4j-1.jar"]
    for jar in jars:
        jar.write_bytes(b"classes")
    monkeypatch.setattr(installation, "obtain_jars", lambda _home, _say: jars)
    return jars


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When something was learned, which always works here."""
    began = list[float]()

    def learn(jars: list[Path]) -> None:
        began.append(time.monotonic())
        time.sleep(0.1)
        learned(jars).touch()

    monkeypatch.setattr(installation, "_learn", learn)
    return began


@pytest.mark.usefixtures("jars")
def test_those_who_start_at_once_wait_for_the_one_that_learns(tmp_path: Path, began: list[float]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _found(installation.install_kafka(tmp_path, lambda _line: None)), range(4)))
    assert len(began) == 1
    assert found == [True] * 4


def _found(jars: list[Path]) -> bool:
    return learned(jars).exists()


def test_the_next_one_learns_what_the_first_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jars: list[Path]
) -> None:
    tries = list[Path]()
    monkeypatch.setattr(installation, "_learn", tries.extend)
    for _ in range(2):
        assert installation.install_kafka(tmp_path, lambda _line: None) == jars
    assert tries == jars * 2


def _another_version(jar: Path) -> Path:
    return jar.rename(jar.with_name("log4j-2.jar"))


def _fetched_again(jar: Path) -> Path:
    os.utime(jar, (0, 0))
    return jar


def _with_other_bytes(jar: Path) -> Path:
    before = jar.stat()
    jar.write_bytes(b"other classes")
    os.utime(jar, ns=(before.st_atime_ns, before.st_mtime_ns))
    return jar


@pytest.mark.parametrize("replace", [_another_version, _fetched_again, _with_other_bytes])
def test_kafka_is_learned_again_when_a_jar_is_another_one(
    tmp_path: Path, jars: list[Path], began: list[float], replace: Callable[[Path], Path]
) -> None:
    for _ in range(2):
        installation.install_kafka(tmp_path, lambda _line: None)
    assert len(began) == 1
    jars[1] = replace(jars[1])
    for _ in range(2):
        installation.install_kafka(tmp_path, lambda _line: None)
    assert len(began) == 2
