"""Children: awaited, watched, told to stop in order, and never left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from deploy import supervisor
from deploy.supervisor import Child, ChildDied, child, recorded_pid, watch

READY = "print('metrics 127.0.0.1:9', flush=True); print('\\x1b[?25lready', flush=True)\n"
SLEEP = "import time\ntime.sleep(60)\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_is_ready_when_it_says_so(tmp_path: Path) -> None:
    with child("worker", python(READY + SLEEP), tmp_path, {}) as running:
        running.wait_ready(30)
        assert running.announced("metrics") == "127.0.0.1:9"
        assert recorded_pid("worker", tmp_path) == running.pid
        running.check()
    assert running.process.returncode == -signal.SIGTERM
    assert recorded_pid("worker", tmp_path) is None


def test_a_child_gets_its_environment(tmp_path: Path) -> None:
    code = "import os; print(os.environ['OTB_APP_ID'], os.environ['HOME']); print('ready', flush=True)\n"
    with child("worker", python(code + SLEEP), tmp_path, {"OTB_APP_ID": "demo"}) as running:
        running.wait_ready(30)
        assert running.lines()[0] == f"demo {os.environ['HOME']}"


def test_a_child_that_dies_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('x\\n' * 50); sys.exit('no broker')"
    with pytest.raises(ChildDied, match="the worker ended with status 1") as died, _Started(tmp_path, code) as running:
        running.wait_ready(30)
    assert died.value.tail[-1] == "no broker"
    assert len(died.value.tail) == 15


def test_a_child_that_is_never_ready_is_given_up_and_stopped(tmp_path: Path) -> None:
    with pytest.raises(ChildDied, match="not ready within 0 s"), _Started(tmp_path, SLEEP) as running:
        running.wait_ready(0.2)
    assert not psutil.pid_exists(running.pid)


def test_a_child_that_says_how_far_it_is_may_take_longer_than_one_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which 20 s pass with every line."""
    told: list[str] = []
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: 20.0 * len(told))
    lines = [f"restoring: {n}0%" for n in range(1, 8)]
    code = f"import time\nfor line in {lines}:\n    print(line, flush=True)\n    time.sleep(0.1)\n"
    with _Started(tmp_path, code + READY + SLEEP) as running:
        running.wait_ready(30, told.append)
    assert told == [f"worker: {line}" for line in lines]


def test_a_killed_child_is_noticed(tmp_path: Path) -> None:
    with _Started(tmp_path, READY + SLEEP) as running:
        running.wait_ready(30)
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(ChildDied, match="was ended by SIGKILL"):
            watch([running])


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    with _Started(tmp_path, stubborn + READY + SLEEP) as running:
        running.wait_ready(30)
        running.stop(seconds=0.3)
    assert running.process.returncode == -signal.SIGKILL


def test_children_stop_in_the_reverse_order_of_their_start_whatever_happened(tmp_path: Path) -> None:
    def code(name: str) -> str:
        return (
            "import signal, sys, time\n"
            f"def end(*_):\n    open({str(tmp_path / 'order')!r}, 'a').write('{name} ')\n    sys.exit(0)\n"
            f"signal.signal(signal.SIGTERM, end)\n{READY}{SLEEP}"
        )

    with pytest.raises(KeyboardInterrupt):
        _interrupted_while_running(tmp_path, code("sink"), code("worker"))
    assert (tmp_path / "order").read_text().split() == ["worker", "sink"]


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent_code = (
        "import os, sys\nfrom pathlib import Path\nfrom deploy.supervisor import child\n"
        f"with child('worker', [sys.executable, '-c', {READY + SLEEP!r}], Path({str(tmp_path)!r}), {{}}) as running:\n"
        "    running.wait_ready(30)\n    os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "outer"
    folder.mkdir()
    with child("parent", python(parent_code), folder, {}) as parent:
        parent.process.wait(30)
        orphan = recorded_pid("worker", tmp_path)
        assert orphan is not None
        deadline = time.monotonic() + 10
        while _alive(orphan) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _alive(orphan)


def _interrupted_while_running(folder: Path, sink_code: str, worker_code: str) -> None:
    with (
        child("sink", python(sink_code), folder, {}) as sink,
        child("worker", python(worker_code), folder, {}) as worker,
    ):
        sink.wait_ready(30)
        worker.wait_ready(30)
        raise KeyboardInterrupt


class _Started:
    """`child`, for a `with` beside `pytest.raises`, that can still be looked at afterwards."""

    def __init__(self, folder: Path, code: str) -> None:
        self._context = child("worker", python(code), folder, {})

    def __enter__(self) -> Child:
        return self._context.__enter__()

    def __exit__(self, *details: object) -> bool | None:
        return self._context.__exit__(*details)  # type: ignore[arg-type]


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
