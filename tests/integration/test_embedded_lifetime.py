"""Servers end with the command that started them, whatever ends it, and a dead run never blocks the next."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient

from agents.settings import Settings
from deploy import embedded
from deploy.embedded import NoRunError, servers
from deploy.embedded.discovery import current_run
from deploy.embedded.ports import ReservedPort
from deploy.embedded.postgres import Postgres
from deploy.embedded.process import BACKGROUND, Command, kill, spawn
from deploy.embedded.runs import Run, describe, new_run
from tests.integration.held import ELSEWHERE, holder, is_running, wait_until_ended

POSTGRES_ONLY = {"OTB_KAFKA": ELSEWHERE}


@pytest.fixture
def home(tmp_path: Path, kafka_jars: list[Path]) -> Path:
    """A home of this test's own that shares the session's jars."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / kafka_jars[0].parent.name).symlink_to(kafka_jars[0].parent)
    return tmp_path


async def _answers(run: Run) -> None:
    assert AdminClient({"bootstrap.servers": run.kafka}).list_topics(timeout=30).brokers
    await (await asyncpg.connect(run.postgres_dsn)).close()


async def test_two_runs_at_once_and_one_killed(home: Path) -> None:
    """Started together in one home they share nothing; SIGKILL of one ends its servers and leaves the other's."""
    with holder(home) as first, holder(home) as second:
        killed, living = first.run(), second.run()
        assert killed.folder != living.folder
        assert {killed.kafka, killed.postgres_dsn}.isdisjoint({living.kafka, living.postgres_dsn})
        await _answers(killed)
        await _answers(living)

        first.process.kill()
        if sys.platform == "linux":
            assert wait_until_ended(killed.servers) == []
        await _answers(living)

        settings = Settings(kafka=ELSEWHERE, postgres_dsn=None, home=home)
        with servers(settings, print):
            assert not killed.folder.exists()
            assert wait_until_ended(killed.servers) == []
            await _answers(living)

        assert second.interrupt() == 0
        assert wait_until_ended(living.servers) == []
        assert not living.folder.exists()


def test_ctrl_c_stops_in_order_and_removes_the_data(home: Path) -> None:
    """The terminal's Ctrl-C reaches the command, not the servers: those are asked to stop by it."""
    with holder(home, POSTGRES_ONLY) as held:
        run = held.run()
        log = (run.folder / "postgres" / "postgres.log").open()
        assert held.interrupt() == 0
        assert wait_until_ended(run.servers) == []
    with log:
        assert "interrupted" not in log.read()
    assert not run.folder.exists()


def test_servers_are_out_of_the_terminals_reach(home: Path) -> None:
    with holder(home, POSTGRES_ONLY) as held:
        for server in held.run().servers:
            assert os.getpgid(server.pid) != os.getpgid(held.process.pid)
            assert os.getsid(server.pid) != os.getsid(held.process.pid)


def test_killed_while_starting_leaves_nothing_that_blocks(home: Path) -> None:
    """SIGKILL before the run is published: no server is written down, yet none survives and the folder is swept."""
    with holder(home, POSTGRES_ONLY) as held:
        while not (started := list((home / "runs").glob("*/postgres/postgres.log"))):
            assert held.process.poll() is None
        held.process.kill()
        held.process.wait()
    with servers(Settings(kafka=ELSEWHERE, postgres_dsn=None, home=home), print) as run:
        assert list((home / "runs").glob("*/")) == [run.folder]
    assert not started[0].exists()


@pytest.mark.parametrize("user", ["-", "no-such-account"])
def test_a_server_whose_parent_is_gone_never_begins(tmp_path: Path, user: str) -> None:
    """Between our fork and the kernel's promise the parent may die; an account that is missing is one clear line."""
    launcher, mark = Path(embedded.__file__).with_name("launch.py"), tmp_path / "mark"
    wrong_parent = str(os.getppid())
    command = [
        sys.executable,
        "-I",
        "-S",
        str(launcher),
        wrong_parent,
        "9",
        user,
        "0",
        shutil.which("touch") or "",
        str(mark),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == (0 if user == "-" else 1)
    assert not mark.exists()


@pytest.mark.parametrize("niceness", [0, BACKGROUND])
def test_a_server_gives_way_as_far_as_it_was_told(tmp_path: Path, niceness: int) -> None:
    """Its own niceness, and on machines that schedule by session its session's, which alone counts there."""
    mark, session = tmp_path / "mark", Path("/proc/self/autogroup")
    script = "cat /proc/self/autogroup; nice"
    command = Command([shutil.which("sh") or "", "-c", f"{script}; touch {mark}"], tmp_path / "log", niceness=niceness)
    assert spawn(command).wait(60) == 0
    assert mark.exists()
    *grouped, own = (tmp_path / "log").read_text().splitlines()
    assert int(own) == os.nice(0) + niceness
    assert not session.exists() or grouped[-1].endswith(f"nice {niceness}")


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="nothing is scheduled by session here")
async def test_each_session_of_postgres_gives_way_as_far_as_the_server_was_told(tmp_path: Path) -> None:
    with ReservedPort() as port:
        server = Postgres(tmp_path / "postgres", port.number, niceness=BACKGROUND)
        server.prepare()
        server.start()
        try:
            server.wait_ready()
            connection = await asyncpg.connect(server.dsn)
            process = await connection.fetchval("SELECT pg_backend_pid()")
            assert await asyncio.to_thread(_becomes_nice, process)
            await connection.close()
        finally:
            server.stop()


def _becomes_nice(process: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if Path(f"/proc/{process}/autogroup").read_text().endswith(f"nice {BACKGROUND}\n"):
            return True
        time.sleep(0.05)
    return False


def test_leftover_servers_are_ended_by_the_next_start(tmp_path: Path) -> None:
    """Where the kernel offers no parent death signal a dead run's servers live on; a stranger's process is let be."""
    with new_run(tmp_path, keep=True) as dead:
        leftover = spawn(_sleep(dead.folder))
        stranger = spawn(_sleep(tmp_path))
        try:
            dead.servers = [describe(leftover.pid), describe(stranger.pid)]
            dead.publish()
        except BaseException:
            kill(leftover)
            kill(stranger)
            raise
    (dead.folder / "kept").unlink()
    try:
        with new_run(tmp_path):
            assert wait_until_ended(dead.servers[:1]) == []
            assert is_running(dead.servers[1])
            assert not dead.folder.exists()
    finally:
        kill(leftover)
        kill(stranger)


def _sleep(folder: Path) -> Command:
    program = "import sys, time; time.sleep(600)"
    return Command([sys.executable, "-c", program, str(folder / "mark")], log=folder / "log")


def test_a_kept_run_stays(tmp_path: Path) -> None:
    with new_run(tmp_path, keep=True) as kept:
        (kept.folder / "evidence").touch()
    with new_run(tmp_path) as later:
        assert later.folder != kept.folder
    assert (kept.folder / "evidence").exists()
    assert not later.folder.exists()


def test_the_newest_live_run_is_found(tmp_path: Path) -> None:
    settings = Settings(kafka=None, postgres_dsn=None, home=tmp_path)
    with pytest.raises(NoRunError, match="otb up"):
        current_run(settings)
    with new_run(tmp_path) as run, new_run(tmp_path):  # the second is not published: still starting
        run.kafka, run.postgres_dsn, run.ports = "127.0.0.1:9", "postgresql://here/db", {"worker_metrics": 7}
        run.publish()
        assert current_run(settings) == run
        given = current_run(settings.model_copy(update={"kafka": "elsewhere:9092"}))
        assert (given.kafka, given.postgres_dsn) == ("elsewhere:9092", run.postgres_dsn)
    with pytest.raises(NoRunError):
        current_run(settings)


def test_given_addresses_need_no_run(tmp_path: Path) -> None:
    settings = Settings(kafka="elsewhere:9092", postgres_dsn="postgresql://elsewhere/db", home=tmp_path)
    assert (current_run(settings).kafka, current_run(settings).ports) == ("elsewhere:9092", {})
