"""Keeps the lanes' pools full, and finds connections that died while nobody used them."""

from __future__ import annotations

import logging
import random
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.backends.postgres.pools import LanePool

_PAUSE_S: Final = 0.2
_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 0.5

# Not the module's own state: that is for those who seed it.
_DRAW: Final = random.SystemRandom().random

log = logging.getLogger("guard.postgres")


class Keeper:
    """A thread that looks after the pools until stopped.

    After a loss it tries at once and then in growing pauses, never longer than half a second:
    the driver's own pause doubles without end. Up to half of each pause is left off at random,
    since every worker of the host lost its connections in the same moment.

    Args:
        pools: the pools; all share ``lost``.
        lost: is set by a pool that misses a connection.
        draw: gives uniform random numbers in ``[0, 1)``.
    """

    def __init__(
        self,
        pools: Iterable[LanePool],
        lost: Event,
        draw: Callable[[], float] = _DRAW,
    ) -> None:
        self._pools = tuple(pools)
        self._lost = lost
        self._draw = draw
        self._stopped = False
        self._missing: set[LanePool] = set()
        self._thread = Thread(target=self._run, name="guard-postgres-keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread, after at most ``timeout_s``."""
        self._stopped = True
        self._lost.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = _PAUSE_S
        while not self._stopped:
            woken = self._lost.wait(pause_s * (1 - self._draw() / 2))
            self._lost.clear()
            full = [self._keep(pool) for pool in self._pools]
            if all(full):
                pause_s = _PAUSE_S
            elif woken and pause_s == _PAUSE_S:
                pause_s = _FIRST_RETRY_S
            else:
                pause_s = min(2 * pause_s, _LAST_RETRY_S)

    def _keep(self, pool: LanePool) -> bool:
        try:
            full = pool.keep()
        except Exception:
            # Whatever it is, the next look must come: nobody else refills the pools.
            log.exception("the %s pool could not be looked after", pool.lane)
            return False
        self._tell(pool, full=full)
        return full

    def _tell(self, pool: LanePool, *, full: bool) -> None:
        if full and pool in self._missing:
            log.warning("the %s pool is whole again: %d connections", pool.lane, pool.size_max)
            self._missing.discard(pool)
        elif not full and pool not in self._missing and pool.error:
            log.warning(
                "the %s pool has %d of %d connections: %s",
                pool.lane, pool.live, pool.size_max, pool.error,
            )  # fmt: skip
            self._missing.add(pool)
