"""The board's region of breakers: one for each lane, for all workers of the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.breaker.memory import BreakerMemory, Overwritten, size_bytes
from guard.breaker.store import LOCKS, BreakerStore
from guard.core.breaker import shown_phase
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.breaker.locks import Locks
    from guard.metrics import Metric

    Gauge = tuple[Metric, tuple[str, ...], float]

HEAD_BYTES: Final = 64
EXCHANGE_LOCK: Final = len(Lane) * LOCKS
"""The lock of the one worker that speaks to other hosts."""
_SHARES: Final = {BreakerPhase.CLOSED: 1.0, BreakerPhase.OPEN: 0.0, BreakerPhase.HALF_OPEN: 0.0}


def region_bytes(rows: int) -> int:
    """Return how much memory the region takes for that many workers; a multiple of 64."""
    return HEAD_BYTES + len(Lane) * size_bytes(rows)


class BreakerRegion:
    """The breakers of a host.

    The region begins with a word that tells this host from others::

        | head 64 bytes: word 0 host number | read lane's breaker | write lane's breaker |

    Args:
        memory: exactly the region, ``region_bytes(rows)`` long.
        rows: workers that there can be.
        locks: the host's locks.
    """

    def __init__(self, memory: memoryview, rows: int, locks: Locks) -> None:
        self._locks = locks
        self._head = memory[:HEAD_BYTES].cast("Q")
        if not self._head[0]:
            self._head[0] = int.from_bytes(os.urandom(8), "big") | 1
        step = size_bytes(rows)
        self._memories = {
            lane: BreakerMemory(memory[HEAD_BYTES + at * step : HEAD_BYTES + (at + 1) * step], rows)
            for at, lane in enumerate(Lane)
        }

    def of_worker(self, index: int) -> WorkerBreakers:
        """Return the breakers as one worker uses them; to be called in the worker.

        Args:
            index: the worker's row.
        """
        stores = {
            lane: BreakerStore(memory, self._locks, at * LOCKS, index)
            for at, (lane, memory) in enumerate(self._memories.items())
        }
        return WorkerBreakers(stores, self._locks, f"{self._head[0]:016x}")

    def gauges(self) -> Iterator[Gauge]:
        """Yield what the gauges of breakers in use should say, whatever the workers last saw."""
        for lane, memory in self._memories.items():
            mode = memory.mode
            if mode is None:
                continue
            try:
                _, state = memory.read()
            except Overwritten:
                continue  # the next worker that looks mends it
            shown = shown_phase(state, BreakerRules(mode=mode))
            for phase in BreakerPhase:
                yield metrics.BREAKER_STATE, (lane.value, phase.value), float(phase is shown)
            yield metrics.BREAKER_OPENED, (lane.value,), state.opened_at_s
            if shown in _SHARES:
                yield metrics.BREAKER_SHARE, (lane.value,), _SHARES[shown]


class WorkerBreakers:
    """The host's breakers for one worker.

    Args:
        stores: each lane's state and counts.
        locks: the host's locks.
        host: a name that no other host has.

    Attributes:
        stores: each lane's state and counts.
        host: a name that no other host has.
    """

    def __init__(self, stores: dict[Lane, BreakerStore], locks: Locks, host: str) -> None:
        self.stores = stores
        self.host = host
        self._locks = locks
        self._speaks = False

    def may_exchange(self) -> bool:
        """Whether this worker is the one that speaks to other hosts; it stays so until it dies."""
        self._speaks = self._speaks or self._locks.take(EXCHANGE_LOCK)
        return self._speaks
