"""Runs one command of the harness in a process of its own, for a bounded time."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from stress.other_work import OtherWork
from stress.scorecard.judge import Ended
from stress.scorecard.model import Form
from stress.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.scorecard.model import Command

LONG_LIMIT_S: Final = 3 * 3600.0
LOG: Final = "log.txt"

_GRACE_S: Final = 45.0
"""What a command may take to end what it started."""
_WRITTEN: Final = ("*.json", "*.html", LOG)
_PR_SET_CHILD_SUBREAPER: Final = 36


def run(command: Command, form: Form, folder: Path) -> Ended:
    """Run a command; its reports and its output go to a folder.

    Args:
        command: what is run.
        form: which form of it; it must have that.
        folder: made where it is missing; what an earlier run wrote there goes.

    Raises:
        KeyboardInterrupt: Ctrl-C; the command has ended.
    """
    missing = [name for name in command.needs if shutil.which(name) is None]
    if missing:
        return Ended(None, f"{', '.join(missing)} not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _WRITTEN:
        for path in folder.glob(pattern):
            path.unlink()
    limit_s = command.limit_s if form is Form.SHORT else LONG_LIMIT_S
    return _run(command.arguments(form).split(), folder, limit_s)


def _run(arguments: list[str], folder: Path, limit_s: float) -> Ended:
    begun_s, others = monotonic(), OtherWork(_children_cpu_s)
    with (folder / LOG).open("wb") as log, adopting():
        # A session of its own: Ctrl-C is ours, and the command is told by us.
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--out", str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
    took_s = monotonic() - begun_s
    why = _reason(folder / LOG) if status is not None else f"not ended within {limit_s:g} s"
    return Ended(status, why, reports(folder), took_s, others.cores(), overdue=status is None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it as Ctrl-C would, so that it ends what it started; after a while by force."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of what the block's processes leave behind, and end it after the block.

    So nothing runs on beside the next command, and the processor time of processes whose parents
    died first is known (``RUSAGE_CHILDREN`` has what was waited for).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = _children()
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        # Each one's own children come to us when it dies.
        while left := _children() - before:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended has none
            found |= set(map(int, (task / "children").read_text(encoding="ascii").split()))
    return found


def reports(folder: Path) -> list[dict[str, Any]]:
    """Return the documents in a folder that have verdicts."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with suppress(ValueError):
            document = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(document, dict) and isinstance(document.get("verdicts"), list):
                found.append(document)
    return found


def _reason(log: Path) -> str:
    """Return the harness' own line about why it could not run, or else the last line."""
    lines = list(map(str.strip, log.read_text(encoding="utf-8", errors="replace").splitlines()))
    own = [line for line in lines if line.startswith("stress: ")]
    return next((line for line in reversed(own or lines) if line), "it said nothing")


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
