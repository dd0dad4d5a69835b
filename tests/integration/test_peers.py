"""Peers on a real broker: what is counted is right, whoever is killed, and the audit notices what is not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.settings import Settings
from deploy.cli.peers import JAVA
from loadtest import clients
from loadtest.peers import job, quix_environment
from loadtest.peers.audit import Audit, audit
from loadtest.peers.catalogue import Launch, Peer, Toolbox, chosen
from loadtest.peers.comparison import Options, compare
from loadtest.peers.decided import DecidedCounter
from loadtest.peers.errors import Unavailable
from loadtest.peers.process import running
from loadtest.peers.scene import staged
from loadtest.peers.stage import Stage
from loadtest.peers.traffic import Prepared, requests
from topics.cluster import Cluster

PARTITIONS = 2
PATIENCE_S = 60


def test_two_peers_decide_every_request_once(kafka: str, tmp_path: Path) -> None:
    """The bare loop and ours, for a second each at a low rate."""
    options = Options(
        bootstrap=kafka, home=tmp_path, rates=(50,), seconds=1.0, warmup=0.5, capacity_seconds=1.0, settle=0.0,
        quiet=0.0, rounds=1, accounts=100, partitions=PARTITIONS, peers=("bare-loop", "ours"), command="the test",
    )  # fmt: skip
    report = compare(options, print)
    assert [peer.name for peer in report.peers] == ["bare-loop", "ours"]
    for peer in report.peers:
        assert peer.failures() == []
        (played,) = peer.rounds
        assert played.capacity is not None
        assert played.audit is not None
        timed = played.timed[50]
        assert played.audit.clean
        assert played.audit.requests == PARTITIONS + played.capacity.sent + 75
        assert timed.missing == timed.unsent == 0
        assert 0 < timed.latency_ms["p50"] <= timed.latency_ms["max"]
    assert report.rate_ratio("bare-loop") is not None
    assert not [topic for topic in _topics(kafka) if "bare-loop-1" in topic or "ours-1" in topic]


def test_kafka_streams_is_compiled_and_decides_alike(kafka: str) -> None:
    """The jars are fetched and the source compiled once; every answer is what the rules in Python give."""
    options = Options(
        bootstrap=kafka, home=Settings().home, rates=(), capacity_seconds=1.0, settle=0.0, quiet=0.0, rounds=1,
        accounts=100, partitions=PARTITIONS, peers=("streams-eos-10ms",), java=JAVA,
    )  # fmt: skip
    (peer,) = compare(options, print).peers
    assert peer.failures() == []
    assert peer.rounds[0].audit is not None
    assert peer.rounds[0].audit.clean
    assert peer.rounds[0].audit.requests > PARTITIONS


def _topics(kafka: str) -> list[str]:
    client = clients.reader(Cluster(kafka))
    try:
        return list(clients.reach(client, Cluster(kafka)))
    finally:
        client.close()


@pytest.mark.parametrize("name", ["bare-loop", "ours"])
def test_a_peer_that_is_killed_goes_on_where_it_was(kafka: str, tmp_path: Path, name: str) -> None:
    """Exactly once, whatever dies: killed at work, then started again with an empty folder."""
    (peer,) = chosen([name])
    launch = peer.prepare(Toolbox(tmp_path, None, print))
    records = requests("kill", 6000, 200, PARTITIONS)
    with staged(kafka, peer, 1, PARTITIONS) as stage:
        counter = DecidedCounter(stage.cluster, stage.decisions, PARTITIONS)
        with running(launch.command(stage), tmp_path / "first.log") as process:
            _send(stage, records[:4000])
            assert counter.read_until(1, PATIENCE_S, process), process.last_words()
            process.process.send_signal(signal.SIGKILL)
            process.process.wait()
        _send(stage, records[4000:])
        with running(_on_an_empty_folder(launch, stage, tmp_path), tmp_path / "second.log") as process:
            in_time = counter.read_until(len(records), PATIENCE_S, process)
            assert in_time, f"{counter.count} of {len(records)} decided: {process.log.read_text(errors='replace')}"
        counter.close()
        assert audit(stage) == Audit(len(records), len(records), missing=0, extra=0, wrong=0)


def _on_an_empty_folder(launch: Launch, stage: Stage, folder: Path) -> list[str]:
    empty = folder / "empty"
    empty.mkdir()
    arguments = [*stage.arguments()[:-1], str(empty)]
    return [*launch.before, *arguments, *launch.after]


def _send(stage: Stage, records: list[Prepared]) -> None:
    producer = clients.producer(stage.cluster)
    for partition, key, value, _request_id in records:
        producer.produce(stage.requests, value, key, partition)
    assert producer.flush(PATIENCE_S) == 0


@pytest.fixture
def decided_stage(kafka: str) -> Iterator[tuple[Stage, list[job.Decision]]]:
    """A stage whose requests are there, and what should be decided."""
    (peer,) = chosen(["bare-loop"])
    with staged(kafka, _without_changelog(peer), 1, 1) as stage:
        records = requests("audit", 200, 10, 1)
        _send(stage, records)
        rows: dict[str, job.Row] = {}
        decisions = []
        for record in records:
            request = msgspec.json.decode(record.value, type=job.Request)
            given, _changed = job.answer(rows.setdefault(request.account_id, job.Row()), request)
            decisions.append(job.addressed(request, given))
        yield stage, decisions


def _without_changelog(peer: Peer) -> Peer:
    return Peer("audit", peer.title, peer.guarantee, peer.prepare)


def _decide(stage: Stage, decisions: list[job.Decision]) -> None:
    producer = clients.producer(stage.cluster)
    for decision in decisions:
        producer.produce(stage.decisions, msgspec.json.encode(decision), decision.account_id.encode(), 0)
    assert producer.flush(PATIENCE_S) == 0


def test_the_audit_is_clean_when_all_is_right(decided_stage: tuple[Stage, list[job.Decision]]) -> None:
    stage, decisions = decided_stage
    _decide(stage, decisions)
    assert audit(stage) == Audit(200, 200, missing=0, extra=0, wrong=0)


def test_the_audit_finds_a_lost_a_doubled_and_a_wrong_decision(
    decided_stage: tuple[Stage, list[job.Decision]],
) -> None:
    stage, decisions = decided_stage
    wrong = msgspec.structs.replace(decisions[5], open_to_buy=decisions[5].open_to_buy + 1)
    _decide(stage, [*decisions[1:5], wrong, *decisions[6:], decisions[150]])
    assert audit(stage) == Audit(200, 200, missing=1, extra=1, wrong=1)


def test_the_audit_finds_a_decision_that_nobody_asked_for(
    decided_stage: tuple[Stage, list[job.Decision]],
) -> None:
    stage, decisions = decided_stage
    _decide(stage, [*decisions, msgspec.structs.replace(decisions[0], request_id="unheard-of")])
    assert audit(stage) == Audit(200, 201, missing=0, extra=1, wrong=1)


def test_quix_says_why_its_environment_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A requirement without its hash is refused before anything is fetched."""
    unpinned = tmp_path / "requirements.txt"
    unpinned.write_text("quixstreams==3.28.1\nconfluent-kafka==2.12.2\n")
    monkeypatch.setattr(quix_environment, "REQUIREMENTS", unpinned)
    with pytest.raises(Unavailable, match="its environment could not be made: "):
        quix_environment.prepare(tmp_path / "cache", print)
