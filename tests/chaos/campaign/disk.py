"""A file system for one thing, so that it alone can run out of space: Linux's tmpfs, which can be made smaller while it
is in use. Mounting takes the rights of root; `mountable` says whether we have them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

SIZE: Final = "4g"
"""More than anything here needs; what is not used takes no memory."""
PAGE_BYTES: Final = 4096


class Disk:
    """`folder` is made and is the disk from entering to leaving the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Disk:
        self.folder.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "opentobuy", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """From now on there is no space left."""
        now = os.statvfs(self.folder)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize
        _run("mount", "-o", f"remount,size={max(PAGE_BYTES, used)}", self._path)

    def empty(self) -> None:
        """There is space again."""
        _run("mount", "-o", f"remount,size={SIZE}", self._path)

    @property
    def _path(self) -> str:
        return str(self.folder)


def mountable() -> bool:
    """Try it."""
    try:
        with tempfile.TemporaryDirectory() as folder, Disk(Path(folder) / "disk"):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
