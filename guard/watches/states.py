"""One log line for each change of a worker's state: open for requests, pools short or full."""

from __future__ import annotations

import logging
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.core.latch import Latch, observe
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Backend, PoolSignals

DRAINING: Final = "draining"
"""Why a worker is not ready that goes away."""

log = logging.getLogger("guard.state")


class Condition(NamedTuple):
    """Something that a pool may be.

    Attributes:
        begins: the event where it begins to be so.
        ends: the event where it ends.
        rise_s: how long it must last to be told, seconds.
        fall_s: the same for its end.
        holds: whether it is so.
    """

    begins: str
    ends: str
    rise_s: float
    fall_s: float
    holds: Callable[[PoolSignals], bool]


CONDITIONS: Final = (
    Condition("pool_short", "pool_whole", 0.4, 0.4, lambda pool: pool.size < pool.size_max),
    Condition(
        "pool_full", "pool_room", 1.0, 5.0,
        lambda pool: pool.in_use >= pool.size and pool.waiting > 0,
    ),
)  # fmt: skip
"""What is told of each pool; under load a pool is full and not full many times a second."""


class StateWatch:
    """Logs a worker's changes of state under ``guard.state``.

    Args:
        why_not_ready: why the worker is not open for requests, one line; empty where it is.
        backend: gives the pools' signals; None where there is none.
    """

    def __init__(self, why_not_ready: Callable[[], str], backend: Backend | None) -> None:
        self._why_not_ready = why_not_ready
        self._backend = backend
        self._told: str | None = None
        self._latches = {each: Latch() for each in product(Lane, CONDITIONS)}

    def __call__(self, now_s: float) -> None:
        """Look once."""
        self._look_at_readiness()
        if self._backend is None or not self._backend.ready:
            return  # a pool that is not open is no news beside that
        for lane, condition in self._latches:
            self._look_at_pool(lane, condition, self._backend.signals(lane), now_s)

    def _look_at_readiness(self) -> None:
        why = self._why_not_ready()
        before, self._told = self._told, why
        # A reason for a reason, as a breaker's probes give it, is no change of the state.
        same = before is not None and bool(why) is bool(before) and why != DRAINING
        if same or why == before:
            return
        # To begin and to end are in order; to stop in between is not.
        level = logging.WARNING if before == "" and why != DRAINING else logging.INFO
        text = f"not open for requests: {why}" if why else "open for requests"
        extra = {"guard_event": "readiness", "guard_ready": not why, "guard_why": why}
        log.log(level, "%s", text, extra=extra)

    def _look_at_pool(
        self, lane: Lane, condition: Condition, pool: PoolSignals, now_s: float
    ) -> None:
        before = self._latches[lane, condition]
        after = observe(
            before, seen=condition.holds(pool), now_s=now_s,
            rise_s=condition.rise_s, fall_s=condition.fall_s,
        )  # fmt: skip
        self._latches[lane, condition] = after
        if after.on is before.on:
            return
        lasted_s = 0.0 if after.on else after.changed_s - before.changed_s
        log.log(
            logging.WARNING if after.on else logging.INFO,
            "%s lane=%s size=%d size_max=%d in_use=%d waiting=%d",
            condition.begins if after.on else condition.ends,
            lane.value, pool.size, pool.size_max, pool.in_use, pool.waiting,
            extra={
                "guard_event": condition.begins if after.on else condition.ends,
                "guard_lane": lane.value,
                **{f"guard_{name}": value for name, value in pool._asdict().items()},
                "guard_lasted_s": round(lasted_s, 3),
            },
        )  # fmt: skip
