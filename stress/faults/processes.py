"""Faults of the service's own processes."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final

from stress.disturbance import Breakage
from stress.faults.drill import Drill, fact, served, unanswered
from stress.server import TROUBLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stress.faults.drill import Course, Scene
    from stress.report import Verdict

ENDED: Final = "seconds until all workers had ended"
PORT_HELD: Final = "the port still taken then"
ORPHANS_S: Final = 10.0
UNANSWERED: Final = 0.05
"""Which share of the requests may go down with the process that had them."""

_WAIT_S, _TICK_S = 30.0, 0.02


def _kill_workers(scene: Scene) -> Breakage:
    def begin() -> None:
        for pid in scene.service.workers():
            send(pid, signal.SIGKILL)

    return Breakage(begin, _nothing)


def _stop_worker(scene: Scene) -> Breakage:
    stopped: list[int] = []

    def begin() -> None:
        stopped.extend(scene.service.workers()[:1])
        for pid in stopped:
            send(pid, signal.SIGSTOP)

    def end() -> None:
        while stopped:
            send(stopped.pop(), signal.SIGCONT)

    return Breakage(begin, end)


def _kill_arbiter(scene: Scene) -> Breakage:
    def begin() -> None:
        service = scene.service
        workers = service.workers()
        begun_s = monotonic()
        send(service.pid, signal.SIGKILL)
        if wait_until(lambda: not any(map(lives, workers))):
            scene.facts[ENDED] = monotonic() - begun_s
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            scene.facts[PORT_HELD] = float(probe.connect_ex(service.target) == 0)

    return Breakage(begin, scene.service.start)


def send(pid: int, number: int) -> None:
    """Send a signal; nothing where the process has gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def lives(pid: int) -> bool:
    """Return whether a process runs (Linux); one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], within_s: float = _WAIT_S) -> bool:
    """Wait until a condition holds, at most ``within_s``; return whether it does."""
    tick, until_s = Event(), monotonic() + within_s
    while not condition():
        if monotonic() >= until_s:
            return False
        tick.wait(_TICK_S)
    return True


def _nothing() -> None:
    pass


def _killed(course: Course) -> list[Verdict]:
    return [unanswered(course, UNANSWERED)]


def _stopped(course: Course) -> list[Verdict]:
    # The only worker of DuckDB takes all requests with it, until it goes on.
    return [served(course, "all", 0.9)] if course.facts.get("workers", 1.0) > 1 else []


def _orphaned(course: Course) -> list[Verdict]:
    return [fact(course, ENDED, ORPHANS_S), fact(course, PORT_HELD, 0.0)]


DRILLS: Final = {
    "worker-kill": Drill(
        "kill -9 of every worker at once",
        _kill_workers, _killed, at_once=True, back_s=6.0, tolerated=("SIGKILL",),
    ),
    "worker-stop": Drill("SIGSTOP of a worker, then SIGCONT", _stop_worker, _stopped),
    "arbiter-kill": Drill(
        "kill -9 of gunicorn's arbiter; started anew afterwards",
        _kill_arbiter, _orphaned, back_s=3.0,
    ),
}  # fmt: skip


def troubles(log: Iterable[str], tolerated: tuple[str, ...]) -> list[str]:
    """Return the lines of a log that it must not have, but for those that a fault explains."""
    return [
        line for line in log
        if any(word in line for word in TROUBLES) and not any(word in line for word in tolerated)
    ]  # fmt: skip
