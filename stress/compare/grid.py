"""Every variant under every load, side by side: who is first changes with each load."""

from __future__ import annotations

import random
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING, Final

from stress.compare.app import CAPACITY_PER_S
from stress.compare.cell import CONNECTIONS, KEPT, TIMEOUT_S, cell, poisson
from stress.compare.variants import running
from stress.open_loop import fire
from stress.server import ServerError, answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stress.compare.cell import Cell
    from stress.compare.variants import Running, Variant

LOADS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
UNLOADED, LOADED = 0.5, 2.0
"""The load whose latencies the others are compared with; and one at which the database is as
busy as it can be, whose costs are."""

_IDLE_WITHIN_S: Final = 0.1
_SETTLE_TRIES: Final = 200
_TICK_S: Final = 0.1


def measure(
    variants: Sequence[Variant], loads: Sequence[float], seconds: float, seed: int, folder: Path
) -> Iterator[Cell]:
    """Yield the cells as they are measured, one by one.

    All variants get the same requests at the same times.

    Args:
        variants: all installed.
        loads: multiples of the capacity, ascending, ``UNLOADED`` first.
        seconds: length of each cell's schedule.
        seed: of the arrivals.
        folder: takes logs.

    Raises:
        ServerError: a variant did not start, or does not recover from a load.
    """
    with ExitStack() as stack:
        all_running = [stack.enter_context(running(variant, folder)) for variant in variants]
        for connections in CONNECTIONS:
            for number, load in enumerate(loads):
                for one in all_running if number % 2 == 0 else reversed(all_running):
                    yield _cell(one, connections, load, seconds, seed)


def _cell(one: Running, connections: str, load: float, seconds: float, seed: int) -> Cell:
    settle(one)
    shots = poisson(load * CAPACITY_PER_S, seconds, random.Random(f"{seed} {load}"))
    before_s = one.cpu_s()
    volley = fire(one.target, shots, timeout_s=TIMEOUT_S, reuse=connections == KEPT)
    used_s = one.cpu_s() - before_s
    found = cell((one.variant.name, connections, load), volley, seconds, used_s)
    if volley.interrupted:
        raise KeyboardInterrupt
    return found


def settle(one: Running) -> None:
    """Wait until a variant has worked off what earlier loads left behind.

    Raises:
        ServerError: it takes more than about 20 s.
    """
    tick = Event()
    for _ in range(_SETTLE_TRIES):
        if answers(one.target, within_s=_IDLE_WITHIN_S):
            return
        tick.wait(_TICK_S)
    raise ServerError(f"{one.variant.name} does not recover: {one.server.log_text()[-500:]}")
