"""A disk of a campaign is gone with the processes that used it, however they end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Thread

import pytest

from tests.chaos.campaign.disk import Disk, mountable

ROOT = Path(__file__).parents[2]
CAMPAIGN = """
import os, subprocess, sys, time
from pathlib import Path
from tests.chaos.campaign.disk import Disk
with Disk(Path(sys.argv[1]) / "store") as store, Disk(Path(sys.argv[1]) / "ledger") as ledger:
    for disk in (store, ledger):
        (disk.folder / "file").write_text("kept")
    store.fill()
    child = [sys.executable, "-c", "import os, sys; print(*map(os.path.ismount, sys.argv[1:]))"]
    print(subprocess.check_output([*child, store.folder, ledger.folder], text=True).strip(), flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.skipif(not mountable(), reason="mounting takes root")


def test_a_campaign_that_is_killed_leaves_no_mount(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CAMPAIGN, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True True\n", "what it starts sees both disks"
    finally:
        process.kill()
        process.wait(60)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list((tmp_path / "store").iterdir()) == []


def test_a_disk_can_run_out_of_space_and_have_some_again(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "file").write_bytes(bytes(1 << 20))
        disk.empty()
        (disk.folder / "file").write_bytes(bytes(1 << 20))
    assert not (tmp_path / "disk" / "file").exists()


def test_a_disk_runs_full_while_it_is_written_to(tmp_path: Path) -> None:
    """A file that grows between the look at what is used and the mount."""
    with Disk(tmp_path / "disk") as disk, (disk.folder / "file").open("wb", buffering=0) as file:
        writer = Thread(target=_write_until_full, args=(file,))
        writer.start()
        disk.fill()
        writer.join(60)
        assert not writer.is_alive()


def _write_until_full(file: FileIO) -> None:
    with suppress(OSError):
        for _ in range(3 << 12):  # 3 of 4 GB
            file.write(bytes(1 << 18))
