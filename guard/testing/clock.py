"""A clock that goes only when it is told to."""

from __future__ import annotations

import threading


class FakeClock:
    """A monotonic clock for tests, moved by hand. Thread-safe.

    Args:
        now_s: where it starts, seconds.
    """

    def __init__(self, now_s: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._now_s = now_s

    def now_s(self) -> float:
        """Return the time at which the clock stands, seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds`` (>= 0).

        Raises:
            ValueError: ``seconds`` is negative; a monotonic clock never goes back.
        """
        if seconds < 0:
            raise ValueError(f"a monotonic clock can't go back by {-seconds} s")
        with self._lock:
            self._now_s += seconds
