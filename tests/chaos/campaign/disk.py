"""A file system for one thing, so that it alone can run out of space: Linux's tmpfs, which can be made smaller while it
is in use. Mounting takes the rights of root; `mountable` says whether we have them.

It is mounted where only this process and those it starts later can see it (mount_namespaces(7)), and the kernel takes
it away with the last of them: also when they are killed, no mount is left to the machine."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

SIZE: Final = "4g"
"""More than anything here needs; what is not used takes no memory."""
PAGE_BYTES: Final = 4096
SPARE_BYTES: Final = 1024 * 1024
MOST_SPARE_BYTES: Final = 256 * SPARE_BYTES
_CLONE_NEWNS: Final = 0x00020000


class Disk:
    """`folder` is made and is the disk from entering to leaving the `with` block, to this thread and what it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Disk:
        self.folder.mkdir(parents=True)
        _leave_the_machine_s_mounts()
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "opentobuy", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """From now on there is no space left, or will be none in a moment: what is written while we look and mount
        needs some, and the kernel refuses a size smaller than that."""
        for spare in range(0, MOST_SPARE_BYTES, SPARE_BYTES):
            if self._made_to_leave(spare):
                return
        raise OSError(f"{self.folder} could not be made smaller, whatever was left to it")

    def _made_to_leave(self, spare: int) -> bool:
        now = os.statvfs(self.folder)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize
        try:
            _run("mount", "-o", f"remount,size={max(PAGE_BYTES, used + spare)}", self._path)
        except subprocess.CalledProcessError:
            return False
        return True

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
    except (subprocess.CalledProcessError, OSError):
        return False


def _leave_the_machine_s_mounts() -> None:
    """From now on this thread's mounts are its own. (Python has `os.unshare` since 3.12.)"""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), f"no mounts of our own: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
