"""Uses fewer of a pool's connections while fewer serve more; see ``guard.core.adaptive``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from guard import metrics
from guard.core import adaptive
from guard.core.adaptive import Adaptive
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.backends.base import Backend
    from guard.controller import Controller
    from guard.events import Recorder

log = logging.getLogger("guard.adaptive")


class AdaptiveWatch:
    """Limits the lanes' pools, and shows what is used of them.

    Args:
        controller: tells the lanes' uses.
        backend: is limited.
        recorder: takes the gauges.
        on: whether to search for a limit; while not, the whole pools are used.
        searched: the lanes for which there is one to search for; a writer that merges has none.
    """

    def __init__(
        self,
        controller: Controller,
        backend: Backend,
        recorder: Recorder,
        *,
        on: Callable[[], bool],
        searched: Iterable[Lane],
    ) -> None:
        self._controller = controller
        self._backend = backend
        self._record = recorder
        self._on = on
        self._states = {lane: Adaptive() for lane in searched}

    def __call__(self, now_s: float) -> None:
        """Look once."""
        for lane in Lane:
            if lane in self._states:
                self._look(lane, now_s)
            pool = self._backend.signals(lane)
            self._record.set(metrics.ADAPTIVE_SLOTS, (lane.value,), min(pool.slots, pool.size))

    def _look(self, lane: Lane, now_s: float) -> None:
        pool, before = self._backend.signals(lane), self._states[lane]
        after = Adaptive()
        if self._on():
            load = self._controller.load(lane)
            after = adaptive.look(before, pool.size, load.uses, load.used_s, now_s)
        self._states[lane] = after
        # At each look: a pool that was opened anew knows of no limit.
        self._backend.limit(lane, max(1, adaptive.allowed(after, pool.size_max)))
        if after.limit != before.limit:
            log.info(
                "the %s lane uses %d of its %d connections", lane.value,
                adaptive.allowed(after, pool.size_max), pool.size_max,
                extra={"guard_event": "adaptive", "guard_lane": lane.value},
            )  # fmt: skip
