"""How far a replica is behind its primary, and whether it may be read from.

A replica does not know how far it is behind: one that has lost its primary has replayed all that it
received and calls itself current. Its clock may be wrong, too. So the primary's log is looked at
as well, and the lag is the time from the first look at which the primary was further than the
replica is now to the last look at it:

    lag = last look - min {t : position of the primary at t > position of the replica}

on the clock of the one who looks. An idle primary makes nobody lag, and a primary that is away
makes nobody lag more: what it took with it will never come, and reads must go on.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import Final, NamedTuple

from guard.core.latch import Latch, observe

RETURN_S: Final = 1.0
"""So long a replica must be well to be read from again, seconds: no flapping."""

_LOOKS_MAX: Final = 4096
_PAGE_BYTES: Final = 8192
_HEADERS_BYTES: Final = (24, 40)


def end_of_log(position: int) -> int:
    """Return where a log really ends, by where PostgreSQL says that it would go on.

    Where it ends with a page it says the place behind the next page's header, which is not
    written yet: a replica that has everything stays before that until something is.
    """
    behind = position % _PAGE_BYTES
    return position - behind if behind in _HEADERS_BYTES else position


class Seen(NamedTuple):
    """A server at one look.

    Attributes:
        position: how much of the log it has: replayed by a replica, written by a primary; bytes.
        timeline: the history that a primary writes, a number that grows with each promotion; 0
            for a replica.
    """

    position: int
    timeline: int = 0


class LogClock:
    """Knows when the primary's log was how long. Not thread-safe.

    It keeps the last 4,096 looks at which the log had grown; what is older than these is as old as
    the oldest.

    Attributes:
        timeline: that of the primary; 0 before it was seen.
    """

    def __init__(self) -> None:
        self.timeline = 0
        self._looks: list[tuple[int, float]] = []
        self._last_s = 0.0

    def tell(self, primary: Seen, now_s: float) -> None:
        """Take in one look at a server that writes, in any order.

        One of an older history does not know that it is no primary any more.
        """
        if primary.timeline < self.timeline:
            return
        if primary.timeline > self.timeline:
            self._looks.clear()  # what was lost with the old history is no lag
        self.timeline = primary.timeline
        self._last_s = now_s
        if not self._looks or primary.position > self._looks[-1][0]:
            self._looks.append((primary.position, now_s))
            del self._looks[:-_LOOKS_MAX]

    def lag_s(self, position: int) -> float:
        """Return how old the first entry is that a server at ``position`` lacks; 0 without any."""
        at = bisect_right(self._looks, position, key=itemgetter(0))
        return self._last_s - self._looks[at][1] if at < len(self._looks) else 0.0


class Replica(NamedTuple):
    """What is known of a server that is read from.

    Attributes:
        latch: on while it may be read from; None before the first look.
        position: at the last look that was answered.
        lag_s: at the last look that was answered, seconds.
        primary: whether it was a primary then.
        silent: whether it did not answer the last look.
    """

    latch: Latch | None = None
    position: int = 0
    lag_s: float = 0.0
    primary: bool = False
    silent: bool = False

    @property
    def in_rotation(self) -> bool:
        """Whether it may be read from."""
        return self.latch is not None and self.latch.on


def look(
    before: Replica, seen: Seen | None, log: LogClock, lag_max_s: float, now_s: float
) -> Replica:
    """Return what is known after one look.

    It leaves the rotation at once, and comes back after it was well for ``RETURN_S``.

    Args:
        before: what was known.
        seen: what it answered; None where it did not.
        log: the primary's.
        lag_max_s: with a longer lag it is not read from, seconds.
        now_s: the time of the look.
    """
    if seen is None:
        latch = _latched(before.latch, well=False, now_s=now_s)
        return before._replace(latch=latch, silent=True)
    lag_s = log.lag_s(seen.position)
    # One that was the primary and was not told that another took over serves the past.
    deposed = 0 < seen.timeline < log.timeline
    well = lag_s <= lag_max_s and not deposed
    latch = _latched(before.latch, well=well, now_s=now_s)
    return Replica(latch, seen.position, lag_s, primary=seen.timeline > 0)


def _latched(before: Latch | None, *, well: bool, now_s: float) -> Latch:
    if before is None:
        return Latch(well, now_s)
    return observe(before, seen=well, now_s=now_s, rise_s=RETURN_S, fall_s=0.0)
