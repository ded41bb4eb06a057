"""Starts PostgreSQL's programs under the right account, and finds a server's processes."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.postgres_binaries import Account

_POLL_S: Final = 0.01

# Runs between fork and PostgreSQL, in an interpreter of its own: a preexec_fn could deadlock in
# a process with threads. The signal is asked for after setuid, which would clear it; a parent
# that died before is seen by its changed id.
_LAUNCHER = """
import ctypes, os, signal, sys
uid, gid, parent = map(int, sys.argv[1:4])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
if os.getppid() != parent:
    sys.exit("the parent has gone")
os.umask(0o077)
os.execv(sys.argv[4], sys.argv[4:])
"""


def command(program: Path, account: Account, *options: str) -> list[str]:
    """Return the command that runs ``program`` as ``account`` and ends it with this process.

    The kernel ends it when the *thread* that starts it ends, so start it from one that lasts.
    """
    return [
        sys.executable, "-I", "-S", "-c", _LAUNCHER,
        str(account.uid), str(account.gid), str(os.getpid()), str(program), *options,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """Return the environment for PostgreSQL's programs; the caller's PG* would change them."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children(parent: int) -> list[int]:
    """Return the ids of all processes that ``parent`` started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


def await_end(pids: Sequence[int], within_s: float) -> bool:
    """Wait until none of the processes holds anything any more; return whether that came true.

    Args:
        pids: they need not be ours, so nobody may have waited for those that ended.
        within_s: seconds.
    """
    until_s, tick = monotonic() + within_s, Event()
    while any(map(_lives, pids)):
        if tick.wait(_POLL_S) or monotonic() > until_s:
            return False
    return True


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
