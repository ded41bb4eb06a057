"""Tells changes of phase to the log and to listeners, in their order and under no lock."""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.core.vocabulary import BreakerPhase

    Change = tuple[BreakerPhase, BreakerPhase]

log = logging.getLogger("guard.breaker")


class Teller:
    """Keeps changes until a thread has time to tell them. Thread-safe.

    Args:
        name: the lane, for the log.
        listener: hears each change once.
    """

    def __init__(self, name: str, listener: Callable[[BreakerPhase, BreakerPhase], None]) -> None:
        self._name = name
        self._listener = listener
        self._untold: deque[Change] = deque()
        self._lock = Lock()
        self._telling = False

    def add(self, changes: Iterable[Change]) -> None:
        """Keep changes to be told; one that leaves the phase as it was is nothing to tell."""
        self._untold.extend((before, after) for before, after in changes if before is not after)

    def tell(self) -> None:
        """Tell all that is untold, unless another thread is at it.

        One thread tells at a time, so that changes are told in their order with no lock held;
        a listener that causes a change itself finds it told after its own return.
        """
        while self._untold:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                before, after = self._untold.popleft()
            try:
                log.warning(
                    "the %s lane's breaker is %s, was %s", self._name, after, before,
                    extra={
                        "guard_event": "breaker", "guard_lane": self._name,
                        "guard_from": before.value, "guard_to": after.value,
                    },
                )  # fmt: skip
                self._listener(before, after)
            finally:
                self._telling = False
