"""Clients that are slow to close their connection, and what becomes of the others.

gthread closes a connection on the thread that accepts, and waits there for its client's farewell.
"""

from __future__ import annotations

import random
import socket
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from stress.compare.app import CAPACITY_PER_S
from stress.compare.cell import NEW, TIMEOUT_S, Cell, cell, poisson, request
from stress.compare.grid import settle
from stress.compare.variants import GUARD, VARIANTS, running
from stress.open_loop import fire
from stress.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.compare.variants import Running
    from stress.shots import Target

LOAD: Final = 0.5
CLOSES_AFTER_S: Final = 0.2
EVERY_S: Final = 0.5
"""One such client at a time, twice a second."""
TIMES_MAX: Final = 3.0
UNGUARDED: Final = "unguarded"


def verdicts(seconds: float, seed: int, folder: Path) -> list[Verdict]:
    """Measure gthread as it comes and the guard's worker; the bar is the guard's.

    Args:
        seconds: the length of each of the four runs.
        seed: of the arrivals.
        folder: takes logs.

    Raises:
        ServerError: a service did not start.
    """
    told: list[str] = []
    met = void = False
    for name in (UNGUARDED, GUARD):
        variant = next(each for each in VARIANTS if each.name == name)
        with running(variant, folder) as one:
            without = _run(one, seconds, seed)
            with lazy_clients(one.target):
                among = _run(one, seconds, seed)
        why = without.void or among.void
        void = void or bool(why)
        times = among.admitted.p99 / without.admitted.p99
        told.append(why or f"{name} {without.admitted.p99:.0f} -> {among.admitted.p99:.0f} ms")
        met = times < TIMES_MAX
    bar = (
        f"{1 / EVERY_S:g} clients a second close {CLOSES_AFTER_S * 1e3:g} ms late: "
        f"the others' p99 < {TIMES_MAX:g}x that without"
    )
    return [Verdict(f"{bar} ({NEW}, {LOAD:g}x)", "; ".join(told), met and not void, void)]


def _run(one: Running, seconds: float, seed: int) -> Cell:
    settle(one)
    shots = poisson(LOAD * CAPACITY_PER_S, seconds, random.Random(seed))
    volley = fire(one.target, shots, timeout_s=TIMEOUT_S)
    if volley.interrupted:
        raise KeyboardInterrupt
    return cell((one.variant.name, NEW, LOAD), volley, seconds, 0.0)


@contextmanager
def lazy_clients(target: Target) -> Iterator[None]:
    """Have clients over the block that ask for their connection's end and then are slow."""
    enough = Event()

    def one_after_the_other() -> None:
        while not enough.wait(EVERY_S - CLOSES_AFTER_S):
            with suppress(OSError), closing(socket.create_connection(target, TIMEOUT_S)) as client:
                client.sendall(request([("Connection", "close")]))
                while client.recv(4096):
                    pass
                enough.wait(CLOSES_AFTER_S)

    clients = Thread(target=one_after_the_other)
    clients.start()
    try:
        yield
    finally:
        enough.set()
        clients.join()
