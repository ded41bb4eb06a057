"""The one place where time is read."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""
        ...


class MonotonicClock:
    """The machine's monotonic clock; safe for use by many threads."""

    # Bound once: it is read several times per request.
    now_s = staticmethod(time.monotonic)
