"""Refusals in the log: a few lines per second, however many refusals there are."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from guard.clock import Clock
    from guard.core.vocabulary import Lane, Reason

LINES_PER_S: Final = 1.0

log = logging.getLogger("guard")


class Bucket(NamedTuple):
    """A token bucket's state.

    Attributes:
        tokens: lines that may be written at once.
        at_s: when that was so.
        suppressed: lines left out since the last one.
    """

    tokens: float
    at_s: float
    suppressed: int = 0


def take(bucket: Bucket, now_s: float, lines_per_s: float) -> tuple[Bucket, bool]:
    """Return the bucket's next state, and whether a line may be written.

    ``tokens = min(capacity, tokens + elapsed x lines_per_s)`` with ``capacity =
    max(1, lines_per_s)``, so that a second's lines may come at once.

    Args:
        bucket: the state. Where a line may be written, the old one tells how many were left
            out before it.
        now_s: the time; a time before the state's counts as the same.
        lines_per_s: lines per second in the long run, > 0.
    """
    elapsed_s = max(0.0, now_s - bucket.at_s)
    tokens = min(max(1.0, lines_per_s), bucket.tokens + elapsed_s * lines_per_s)
    at_s = bucket.at_s + elapsed_s
    if tokens >= 1.0:
        return Bucket(tokens - 1.0, at_s), True
    return Bucket(tokens, at_s, bucket.suppressed + 1), False


class RefusalLog:
    """Logs refusals under the name ``guard``, each reason at its own bounded rate. Thread-safe.

    A line is ``shed lane=read reason=deadline suppressed=3``; the same values are attributes
    of the log record (``guard_lane``, ``guard_reason``, ``guard_suppressed``) for structured
    handlers. ``suppressed`` counts the refusals for this reason, of either lane, that got no
    line since the last one. A request that was dropped since its client has gone is told as
    ``dropped ... reason=client_gone``, below the level of a warning: the service does nothing
    wrong then.

    Args:
        clock: the time.
        lines_per_s: lines per second and reason, > 0.
    """

    def __init__(self, clock: Clock, lines_per_s: float = LINES_PER_S) -> None:
        self._clock = clock
        self._lines_per_s = lines_per_s
        self._buckets: dict[Reason, Bucket] = {}
        # Guards the buckets.
        self._lock = Lock()

    def note(self, lane: Lane, reason: Reason) -> None:
        """Log a refusal, or count that it was left out."""
        now_s = self._clock.now_s()
        with self._lock:
            before = self._buckets.get(reason) or Bucket(max(1.0, self._lines_per_s), now_s)
            self._buckets[reason], written = take(before, now_s, self._lines_per_s)
        if written:
            what = "shed" if reason.sheds else "dropped"
            # Outside the lock: a handler may write to a slow disk.
            log.log(
                logging.WARNING if reason.sheds else logging.INFO,
                "%s lane=%s reason=%s suppressed=%d",
                what,
                lane.value,
                reason.value,
                before.suppressed,
                extra={
                    "guard_event": what,
                    "guard_lane": lane.value,
                    "guard_reason": reason.value,
                    "guard_suppressed": before.suppressed,
                },
            )
