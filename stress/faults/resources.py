"""Faults of what the service gets from its host: file sizes, descriptors, memory."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final

from stress.disturbance import Breakage
from stress.faults.drill import Drill, fact, refused, served, unanswered
from stress.faults.processes import UNANSWERED, lives, send
from stress.report import Verdict
from stress.server import tree_cpu_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from stress.faults.drill import Course, Scene

CORES: Final = "cores that the service took during the fault"
CORES_MAX: Final = 0.5
REPLACED: Final = "workers that ended"
WRITES_SHED_S: Final = 2.0
"""A full disk fails one write and has room for the next, so its breaker opens later."""
READS_GO_ON: Final = 0.99
"""Which share of the reads is right and in time while writes can't be."""

REFUSED_THREADS: Final = "times that the log tells of a thread that could not be started"

_NO_THREAD: Final = "no thread can be started"
_STALL_S: Final = 1.5
_PAGE_BYTES: Final = resource.getpagesize()
_ROOM_BYTES: Final = 0


def database_file(scene: Scene) -> Path:
    """Return where the DuckDB file is."""
    return Path(scene.where.url.removeprefix("duckdb:///"))


def _limited(scene: Scene, kind: int, wanted: Callable[[int], int]) -> Breakage:
    """Return the fault that lowers a limit of each worker.

    The soft limit alone is moved: that needs no right, and can be undone.

    Args:
        scene: whose workers are limited.
        kind: one of ``resource.RLIMIT_*``.
        wanted: gives the limit for a process id.
    """
    before: dict[int, tuple[int, int]] = {}
    began: list[tuple[float, float]] = []

    def begin() -> None:
        for pid in scene.service.workers():
            before[pid] = resource.prlimit(pid, kind)
            resource.prlimit(pid, kind, (wanted(pid), before[pid][1]))
        began.append((monotonic(), tree_cpu_s(scene.service.pid)))

    def end() -> None:
        at_s, used_s = began.pop()
        scene.facts[CORES] = (tree_cpu_s(scene.service.pid) - used_s) / (monotonic() - at_s)
        scene.facts[REPLACED] = float(sum(not lives(pid) for pid in before))
        for pid, limits in before.items():
            if lives(pid):
                resource.prlimit(pid, kind, limits)

    return Breakage(begin, end)


def _small_files(scene: Scene) -> Breakage:
    log = Path(f"{database_file(scene)}.wal")

    def wanted(_pid: int) -> int:
        return (log.stat().st_size if log.exists() else 0) + _ROOM_BYTES

    return _limited(scene, resource.RLIMIT_FSIZE, wanted)


def _few_files(scene: Scene) -> Breakage:
    return _limited(scene, resource.RLIMIT_NOFILE, open_files)


def _little_memory(scene: Scene) -> Breakage:
    # Running on as before needs no more memory. A burst does: more threads, each with a stack.
    how = _limited(scene, resource.RLIMIT_AS, address_space_bytes)

    def begin() -> None:
        workers = scene.service.workers()
        how.begin()
        for pid in workers:
            send(pid, signal.SIGSTOP)
        Event().wait(_STALL_S)
        for pid in workers:
            send(pid, signal.SIGCONT)

    def end() -> None:
        how.end()
        scene.facts[REFUSED_THREADS] = float(scene.service.log_text().count(_NO_THREAD))

    return Breakage(begin, end)


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open (Linux); 0 where it has gone."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def address_space_bytes(pid: int) -> int:
    """Return how much address space a process has (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * _PAGE_BYTES


def writes_fail(course: Course) -> list[Verdict]:
    """Return the bars of a database that can be read and not written."""
    return [*refused(course, "write", WRITES_SHED_S), served(course, "read", READS_GO_ON)]


def _waited(course: Course) -> list[Verdict]:
    return [fact(course, CORES, CORES_MAX), fact(course, REPLACED, 0)]


def _starved(course: Course) -> list[Verdict]:
    told = course.facts.get(REFUSED_THREADS, 0.0)
    return [
        Verdict(f"{REFUSED_THREADS}: some", f"{told:.0f}", told > 0),
        unanswered(course, UNANSWERED),
        fact(course, REPLACED, 0),
    ]


DRILLS: Final = {
    "file-size": Drill(
        "files may not grow any more (RLIMIT_FSIZE)",
        _small_files, writes_fail, backends=("duckdb",),
    ),
    "descriptors": Drill(
        "no file descriptor is left (RLIMIT_NOFILE)",
        _few_files, _waited,
    ),
    "memory": Drill(
        "the address space may not grow any more (RLIMIT_AS), and a burst comes",
        _little_memory, _starved,
    ),
}  # fmt: skip
