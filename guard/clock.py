"""The one place where time is read."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""
        ...


def wall_s() -> float:
    """Return seconds since 1970, for what leaves the process; it may jump, so measure nothing."""
    return time.time()  # noqa: TID251 - the one place


class MonotonicClock:
    """The machine's monotonic clock; safe for use by many threads."""

    # Bound once: it is read several times per request.
    now_s = staticmethod(time.monotonic)
