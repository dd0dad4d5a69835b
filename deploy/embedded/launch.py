"""Become a server that cannot outlive its parent: `python -I -S launch.py PARENT SIGNAL USER NICENESS COMMAND...`.

Run as a script of its own, so that no Python code runs between fork and exec in a parent that has threads.

PARENT    process id that must still be our parent
SIGNAL    number of the signal the kernel sends to the command when that parent dies (Linux only; elsewhere a dead
          parent's servers are ended by the next start, see `deploy.embedded.runs`)
USER      account to run as, for a command that refuses root; `-` keeps the present one
NICENESS  0 to 19: how far it gives way to others that want a core

The kernel ties the signal to the parent's *thread* that started us: start servers from a thread that lasts.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
import time
from pathlib import Path

_LINUX = sys.platform == "linux"

# <linux/prctl.h>, <linux/securebits.h>, <linux/capability.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2

_ATTEMPTS = 5
_ATTEMPT_S = 0.15


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _prctl(what: str, *arguments: int) -> None:
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:5]]
    _checked(_libc().prctl(*words), what)


def _keep_only(capability: int) -> None:
    """Drop every capability but one, and hand that one on through exec."""
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; low word, then high
    _checked(_libc().capset(header, sets), "capset")
    _prctl("ambient capability", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _keep_file_access() -> None:
    """Keep root's reach into folders that are closed to others, and nothing else of root's.

    A virtual environment or a home below a private folder stays usable without opening that folder to everyone.
    Containers usually withhold the read-only form of this right and grant the wider one.
    """
    try:
        _keep_only(_CAP_DAC_READ_SEARCH)
    except OSError:
        _keep_only(_CAP_DAC_OVERRIDE)


def become(user: str) -> None:
    """Turn this root process into one of `user`'s; raises KeyError (no such account) or OSError (not permitted)."""
    account = pwd.getpwnam(user)
    if _LINUX:
        # Without this access(2) ignores the capability kept below, and initdb asks access(2) about its siblings.
        _prctl("securebits", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if _LINUX:
        _keep_file_access()


def tie_to(parent: int, signal_number: int) -> None:
    """Have the kernel signal us when `parent` dies; leave at once if it is already dead."""
    if _LINUX:
        _prctl("parent death signal", _PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit(1)


def give_way(niceness: int) -> None:
    """Be nice to all other processes. Where Linux groups what it schedules by session, as it does on most machines, the
    niceness of a process counts among those of its session alone, and the session's own against the others."""
    if niceness == 0:
        return
    os.nice(niceness)
    for _attempt in range(_ATTEMPTS):
        if session_gives_way("self", niceness):
            return
        time.sleep(_ATTEMPT_S)


def session_gives_way(process: int | str, niceness: int) -> bool:
    """Make the session of a process as nice; False where that has to be tried again in a moment. Without effect where
    there are no such groups, or the process has ended."""
    try:
        Path(f"/proc/{process}/autogroup").write_text(str(niceness))
    except BlockingIOError:  # somebody else's was changed within the last tenth of a second
        return False
    except OSError:
        pass
    return True


def main(arguments: list[str]) -> None:
    parent, signal_number, user, niceness, *command = arguments
    try:
        give_way(int(niceness))
        if user != "-":
            become(user)  # first: a change of user clears the parent death signal
        tie_to(int(parent), int(signal_number))
        os.execv(command[0], command)  # noqa: S606 (the command comes from our own code, as a list)
    except (OSError, KeyError) as error:
        sys.exit(f"cannot start {command[0]}{'' if user == '-' else f' as {user}'}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
