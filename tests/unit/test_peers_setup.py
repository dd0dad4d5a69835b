"""Setting peers up and ending them: whatever is missing becomes one line, and no process is left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.app import build
from loadtest.peers import java, process
from loadtest.peers.catalogue import PEERS, UnknownPeer, chosen
from loadtest.peers.errors import PeerFailed, Unavailable
from loadtest.peers.stage import Stage

ENDED_BY_KILL = -signal.SIGKILL


def test_peers_are_chosen_by_name_in_the_catalogues_order() -> None:
    assert [peer.name for peer in chosen(["ours", "faust"])] == ["faust", "ours"]
    assert chosen([]) == list(PEERS)
    with pytest.raises(UnknownPeer, match="no peer 'flink': choose from faust, "):
        chosen(["flink"])


def test_a_stage_survives_the_command_line() -> None:
    stage = Stage("127.0.0.1:1", "app", "in", "out", 4, Path("a folder"))
    assert Stage.from_arguments(stage.arguments()) == stage


def test_java_peers_say_that_no_jars_can_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no way to fetch"):
        java.prepare(tmp_path, None, print)


def test_java_peers_say_why_jars_cannot_be_had(tmp_path: Path) -> None:
    def fetch(_lock: str, _folder: Path, _progress: object) -> list[Path]:
        raise OSError("the network is down")

    with pytest.raises(Unavailable, match="jars cannot be had: the network is down"):
        java.prepare(tmp_path, java.Java(fetch, ()), print)


def test_a_peer_that_ends_says_its_last_words(tmp_path: Path) -> None:
    with process.running(
        [sys.executable, "-c", "print('x'); raise ValueError('no such topic')"], tmp_path / "log"
    ) as peer:
        peer.process.wait(30)
        with pytest.raises(PeerFailed, match=r"ended with status 1: ValueError: no such topic"):
            peer.check()


def test_a_peer_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with process.running([sys.executable, "-c", deaf], tmp_path / "log") as peer:
        while "deaf" not in peer.log.read_text():
            peer.check()
    assert peer.process.returncode == ENDED_BY_KILL


def test_a_peer_ends_when_the_run_is_gone(tmp_path: Path) -> None:
    """All that a dead run leaves is a closed pipe."""
    patient = "import time; from loadtest.peers.stage import end_with_parent; end_with_parent(); time.sleep(60)"
    with process.running([sys.executable, "-c", patient], tmp_path / "log") as peer:
        assert peer.process.stdin is not None
        os.close(os.dup(peer.process.stdin.fileno()))
        assert peer.process.poll() is None
        peer.process.stdin.close()
        assert peer.process.wait(30) == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rates", "fast"], "'fast' is no list of whole numbers"),
        (["--only", "flink"], "there is no peer 'flink'"),
        (["--only", "ours"], "no Kafka broker answers at 127.0.0.1:1"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTB_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("OTB_HOME", str(tmp_path))
    result = CliRunner().invoke(build(), ["loadtest", "peers", *arguments])
    assert result.exit_code != 0
    [line] = result.stderr.splitlines()
    assert line.startswith("otb: ")
    assert said in line
