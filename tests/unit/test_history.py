"""Histories in files: the same whatever makes them, counted, labelled, and whole or not there at all."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from loadtest.history import HistoryError, Order, write
from loadtest.history.lines import Chunk
from loadtest.history.page import page
from loadtest.history.playing import _together, players, windows
from loadtest.history.writing import merged
from loadtest.traffic import Traffic
from loadtest.traffic.cardholders import BLOCK, DAY_MS
from loadtest.traffic.fraud import PATTERNS
from models import card_numbers
from topics import codec

ORDER = Order(accounts=BLOCK + 40, days=3, start=date(2026, 3, 7), seed=5, per_day=1.5)


def silent(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("history") / "made"
    write(ORDER, place, 1, silent, columns=True)
    return place


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((folder / "manifest.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def events(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for day in sorted(folder.glob("2026-*.jsonl")) for line in day.read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_write_what_one_writes(folder: Path, tmp_path: Path) -> None:
    write(ORDER, tmp_path / "two", 2, silent, columns=True)
    assert contents(tmp_path / "two") == contents(folder)


def test_blocks_keep_their_places_whoever_plays_them() -> None:
    """What is said at one instant stands in the order of blocks: too rare to be seen in files of some days."""
    with players(ORDER, 2, 2, 2) as together:
        assert [chunks for chunks, _ in together] == [chunks for chunks, _ in windows(ORDER, range(2), 2)]
    tie = [Chunk([3, 5], [b"a", b"b"]), Chunk([5, 7], [b"c", b"d"])]
    assert merged(tie) == [b"a", b"b", b"c", b"d"]
    assert merged(tie[::-1]) == [b"a", b"c", b"b", b"d"]


def test_the_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    made, seen = tmp_path / "made", []
    order = Order(20, 2, date(2026, 1, 1))
    write(order, made, 1, lambda _what, done, _total: seen.append((done, made.exists())))
    assert seen == [(1, False), (2, False)]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_another_seed_writes_something_else(folder: Path, tmp_path: Path) -> None:
    other = Order(ORDER.accounts, 1, ORDER.start, seed=6, per_day=ORDER.per_day)
    write(other, tmp_path / "other", 1, silent)
    first = "2026-03-07.jsonl"
    assert (tmp_path / "other" / first).read_bytes() != (folder / first).read_bytes()


def test_the_first_days_of_a_longer_history_are_those_of_a_shorter_one(folder: Path, tmp_path: Path) -> None:
    write(Order(ORDER.accounts, 1, ORDER.start, ORDER.seed, ORDER.per_day), tmp_path / "short", 1, silent)
    first = "2026-03-07.jsonl"
    assert (tmp_path / "short" / first).read_bytes() == (folder / first).read_bytes()


def test_it_is_the_traffic_that_is_played_live(events: list[dict[str, Any]]) -> None:
    start_ms = 1_772_841_600_000  # 2026-03-07
    traffic = Traffic(ORDER.seed, ORDER.accounts, "h", "USD", start_ms, ORDER.per_day)
    for event, item in zip(events[:5000], traffic.stream(), strict=False):
        assert event["message"] == orjson.loads(codec.encode(item.message))
        assert bool((event["label"] or {}).get("fraud")) == item.fraud


def test_each_day_is_a_file_in_the_order_of_time(folder: Path) -> None:
    days = sorted(folder.glob("2026-*.jsonl"))
    assert [day.name for day in days] == ["2026-03-07.jsonl", "2026-03-08.jsonl", "2026-03-09.jsonl"]
    for number, day in enumerate(days):
        times = [orjson.loads(line)["at"] for line in day.read_bytes().splitlines()]
        assert times == sorted(times)
        start = 1_772_841_600_000 + number * DAY_MS
        assert start <= times[0]
        assert times[-1] < start + DAY_MS


def test_the_engine_reads_every_message(folder: Path, events: list[dict[str, Any]]) -> None:
    openings = [orjson.loads(line) for line in (folder / "openings.jsonl").read_bytes().splitlines()]
    for event in [*openings, *events]:
        message = event["message"]
        codec.decode(codec.TOPIC_OF_TYPE[message["type"]], message["account_id"].encode(), orjson.dumps(message))


def test_nothing_looks_like_a_card_number(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            strings = [value for value in orjson.loads(line).get("message", {}).values() if isinstance(value, str)]
            assert not [value for value in strings if card_numbers.stands_in(value)]


def test_the_manifest_counts_what_is_there(manifest: dict[str, Any], events: list[dict[str, Any]]) -> None:
    types = Counter(event["message"]["type"] for event in events)
    assert manifest["events_by_type"] == {"account-opened": ORDER.accounts, **types}
    assert manifest["events"] == len(events) + ORDER.accounts
    labels = [(event["message"]["type"], event["label"] or {}) for event in events]
    requests = [label for kind, label in labels if kind == "authorization-request" and not label.get("repeated")]
    fraud = Counter(label["fraud"] for label in requests if "fraud" in label)
    assert set(fraud) <= set(PATTERNS)
    assert {kind: each["requests"] for kind, each in manifest["fraud_by_kind"].items()} == fraud
    for kind, each in manifest["fraud_by_kind"].items():
        assert each["campaigns"] == len({label["campaign"] for label in requests if label.get("fraud") == kind})
    assert manifest["requests"] == len(requests)
    assert manifest["fraud_share"] == pytest.approx(fraud.total() / len(requests), abs=1e-6)
    assert manifest["repeated_by_type"] == Counter(kind for kind, label in labels if label.get("repeated"))
    assert (manifest["seed"], manifest["days"], manifest["start"]) == (5, 3, "2026-03-07")


def test_the_manifest_has_the_digest_of_every_file(folder: Path, manifest: dict[str, Any]) -> None:
    found = {file["name"]: file for file in manifest["files"]}
    assert set(found) | {"manifest.json"} == {path.name for path in folder.iterdir()}
    for name, file in found.items():
        content = (folder / name).read_bytes()
        assert len(content) == file["bytes"]
        assert name.endswith(".npz") or content.count(b"\n") == file["events"]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_columns_say_what_the_lines_say(folder: Path, manifest: dict[str, Any]) -> None:
    rows = {file["name"]: file["events"] for file in manifest["files"]}
    fraud: Counter[bytes] = Counter()
    for day in sorted(folder.glob("*.npz")):
        events = [orjson.loads(line) for line in day.with_suffix(".jsonl").read_bytes().splitlines()]
        with np.load(day) as found:
            columns = dict(found)
        asked = [
            event for event in events
            if event["message"]["type"] == "authorization-request" and not (event["label"] or {}).get("repeated")
        ]  # fmt: skip
        assert rows[day.name] == len(asked) == len(columns["at"])
        assert columns["at"].tolist() == [event["at"] for event in asked]
        for name in ("amount", "mcc", "card_present"):
            assert columns[name].tolist() == [event["message"][name] for event in asked]
        for name in ("account_id", "merchant_id", "merchant_country", "kind", "entry_mode"):
            assert columns[name].tolist() == [event["message"][name].encode() for event in asked]
        for name in ("fraud", "campaign", "flaw"):
            assert columns[name].tolist() == [(event["label"] or {}).get(name, "").encode() for event in asked]
        fraud.update(columns["fraud"].tolist())
    assert sum(fraud.values()) - fraud[b""] == manifest["fraudulent_requests"]


def test_a_page_shows_when_and_how_much_and_what_was_stolen(folder: Path, manifest: dict[str, Any]) -> None:
    shown = page(folder, silent)
    assert shown.count("<svg") == 4
    assert "http" not in shown
    for kind, each in manifest["fraud_by_kind"].items():
        assert f"<td>{kind}</td><td>{each['requests']:,}</td>" in shown
    for who in ("cardholders", "merchants", "thieves"):
        assert who in shown


# -- what goes wrong --


@pytest.mark.parametrize(
    ("order", "line"),
    [
        (Order(10, 0, date(2026, 1, 1)), "days must be at least 1"),
        (Order(0, 1, date(2026, 1, 1)), "accounts must be at least 1"),
        (Order(10, 1, date(1960, 1, 1)), "between 1971 and 2900"),
        (Order(10, 1, date(2026, 1, 1), currency="XXX"), "XXX"),
        (Order(10**9, 3000, date(2026, 1, 1)), "GB are needed"),
    ],
)
def test_senseless_orders_are_refused_by_name(order: Order, line: str, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=line):
        write(order, tmp_path / "made", 1, silent)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(HistoryError, match="exists already"):
        write(ORDER, tmp_path / "made", 1, silent)
    assert not list((tmp_path / "made").iterdir())


def test_a_killed_process_leaves_nothing_behind(tmp_path: Path) -> None:
    def kill(_what: str, done: int, _total: int) -> None:
        if done == 1:
            child = multiprocessing.active_children()[0]
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(HistoryError, match="ended before its work was done"):
        write(Order(2 * BLOCK, 30, date(2026, 1, 1), per_day=2.0), tmp_path / "made", 2, kill)
    assert not list(tmp_path.iterdir())
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("sent", [b"", (100).to_bytes(4) + b"the first half"])
def test_a_process_that_ends_in_the_middle_of_a_window_is_no_fault_of_the_disk(sent: bytes) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    os.write(theirs.fileno(), sent)
    theirs.close()
    with pytest.raises(HistoryError, match="ended before its work was done"):
        next(_together([ours], 1, 1, 1))


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The system refuses longer files, as a full disk would."""
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "history", str(tmp_path / "made"), "--accounts", "200", "--days", "2"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("otb: ")
    assert "could not be written: File too large" in line
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "history", str(tmp_path / "made"), "--page", str(tmp_path / "no" / "p")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(f"{tmp_path / 'no'} is no folder")
    assert not list(tmp_path.iterdir())


def test_the_command_makes_files_and_a_page(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "history", str(tmp_path / "made"), "--accounts", "60", "--days", "2",
         "--start", "2025-11-01", "--seed", "9", "--processes", "1", "--json", "--page", str(tmp_path / "page.html")],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    manifest = orjson.loads(ended.stdout)
    assert manifest == orjson.loads((tmp_path / "made" / "manifest.json").read_bytes())
    assert manifest["files"][-1]["name"] == "2025-11-02.jsonl"
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
