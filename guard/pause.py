"""Leaves a helper alone for a while after it has failed."""

from __future__ import annotations

from threading import Lock
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 10.0


class Pause:
    """Says whether the helper may be asked: a breaker for what can be done without. Thread-safe.

    After a failure nobody asks for half a second; then one caller tries, and the others go on
    without until it has its answer, or for twice the pause before, 10 s at most. No probe is
    needed, since nobody's request depends on the helper.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pause_s = 0.0
        self._until_s = 0.0

    def over(self, now_s: float) -> bool:
        """Return whether the caller may ask; where there was a pause, it is the one that tries."""
        if not self._pause_s:
            return True
        with self._lock:
            if now_s < self._until_s:
                return False
            self._begin(now_s, min(2 * self._pause_s, LONGEST_S))
            return True

    def failed(self, now_s: float) -> None:
        """Begin a pause, where there is none: callers that fail together begin one."""
        with self._lock:
            if not self._pause_s:
                self._begin(now_s, FIRST_S)

    def answered(self) -> None:
        """Hear that the helper is there."""
        if self._pause_s:
            with self._lock:
                self._pause_s = 0.0

    def _begin(self, now_s: float, pause_s: float) -> None:
        self._pause_s = pause_s
        self._until_s = now_s + pause_s
