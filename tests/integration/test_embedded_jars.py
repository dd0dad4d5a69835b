"""Kafka's jars are the pinned ones, or the start fails with one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.embedded.errors import StartError
from deploy.embedded.jars import LOCK, Jar, obtain, parse_lock, sha256
from deploy.embedded.kafka import ROOT_JARS
from deploy.embedded.lock_jars import STREAMS_JARS
from loadtest.peers import java


@pytest.fixture
def small(kafka_jars: list[Path]) -> Jar:
    """The smallest jar of the lock: what is asked of the network here stays small."""
    sizes = {path.name: path.stat().st_size for path in kafka_jars}
    return min(parse_lock(LOCK.read_text()), key=lambda jar: sizes[jar.file_name])


@pytest.mark.parametrize(("lock", "roots", "more_than"), [(LOCK, ROOT_JARS, 40), (java.JARS, STREAMS_JARS, 8)])
def test_a_lock_pins_what_the_code_names(lock: Path, roots: Sequence[str], more_than: int) -> None:
    pinned = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in parse_lock(lock.read_text())}
    assert set(roots) <= pinned
    assert len(pinned) > more_than


def test_every_cached_jar_is_the_pinned_one(kafka_jars: list[Path]) -> None:
    assert [sha256(path) for path in kafka_jars] == [jar.sha256 for jar in parse_lock(LOCK.read_text())]


def test_first_starts_at_once_share_one_whole_jar(tmp_path: Path, small: Jar) -> None:
    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(lambda _: obtain([small], tmp_path, print), range(3)))
    assert got == [[tmp_path / small.file_name]] * 3
    assert sha256(got[0][0]) == small.sha256
    assert [path.name for path in tmp_path.iterdir()] == [small.file_name]


def test_a_damaged_jar_is_fetched_again(tmp_path: Path, small: Jar) -> None:
    (tmp_path / small.file_name).write_bytes(b"cut sho")
    assert sha256(obtain([small], tmp_path, print)[0]) == small.sha256


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path, small: Jar) -> None:
    with pytest.raises(StartError, match=f"{small.file_name} is not the file that kafka-jars.txt pins"):
        obtain([replace(small, sha256="0" * 64)], tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_a_jar_that_cannot_be_had_is_one_clear_line(
    tmp_path: Path, small: Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(StartError, match=f"cannot fetch {small.file_name}: .*OTB_KAFKA") as caught:
        obtain([small], tmp_path, print, patience_s=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        requests.ConnectionError,
        requests.ConnectTimeout,
        requests.ReadTimeout,
        requests.exceptions.ProxyError,
        requests.exceptions.ChunkedEncodingError,
    ],
)
def test_a_network_that_is_gone_for_a_moment_is_asked_again(
    tmp_path: Path, small: Jar, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    asked, told = fail_at_first(monkeypatch, fault), list[str]()
    assert sha256(obtain([small], tmp_path, told.append)[0]) == small.sha256
    assert len(asked) > 1
    assert re.fullmatch(rf"Kafka: .*cannot be reached \({fault.__name__}\): trying for another \d+ s", told[0])
    assert told[1:] == [f"Kafka: jar 1 of 1: {small.file_name}"]


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    tmp_path: Path, small: Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fail_at_first(monkeypatch, requests.exceptions.SSLError)
    with pytest.raises(StartError, match="REQUESTS_CA_BUNDLE"):
        obtain([small], tmp_path, print)
    assert len(asked) == 1


def fail_at_first(monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> list[str]:
    """What is asked of the network from now on; the first request fails."""
    asked: list[str] = []
    ask = requests.request

    def once(method: str, url: str, **named: Any) -> requests.Response:
        asked.append(url)
        if len(asked) == 1:
            raise fault(url)
        return ask(method, url, **named)

    monkeypatch.setattr(requests, "request", once)
    return asked


@pytest.mark.parametrize("line", ["abc", "0" * 64, f"{'0' * 64}  group:artifact", f"{'0' * 63}  g:a:1"])
def test_a_broken_lock_names_its_line(line: str) -> None:
    with pytest.raises(StartError, match=r"kafka-jars\.txt, line 2"):
        parse_lock(f"# head\n{line}\n")
