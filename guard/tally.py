"""Counts each answered request once, in all the metrics that tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard import metrics
from guard.core.vocabulary import Lane, Reason
from guard.routing import lane_of_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.correlation import Correlation
    from guard.events import Count, Recorder
    from guard.request import RequestScope
    from guard.routing import Environ

ROUTE_KEY: Final = "guard.route"
"""Environ key under which an application tells its URL rule, for the metrics' labels."""
CACHED: Final = "cached"
"""The decision about a request that found no room, and was given a kept answer instead."""
DEFERRED: Final = "deferred"
"""The same about one whose write was put off."""
UNMATCHED: Final = "(unmatched)"
OTHER_METHOD: Final = "(other)"

_GONE: Final = Reason.CLIENT_GONE
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KEYS_MAX: Final = 4096

Key = tuple[str, str, str, Reason, Lane | None, bool, str]


class RequestTally:
    """Knows for each kind of request which cells count it. Thread-safe.

    Args:
        recorder: takes the measurements.
        on_shed: called with the lane and the reason of each refusal, and of each request that
            was dropped since its client has gone, outside of every lock.
        on_named: called with the method, the route, the duration and the names of each admitted
            request that has names.
    """

    def __init__(
        self,
        recorder: Recorder,
        on_shed: Callable[[Lane, Reason], None] | None = None,
        on_named: Callable[[tuple[str, str], float, Correlation], None] | None = None,
    ) -> None:
        self._recorder = recorder
        self._on_shed = on_shed
        self._on_named = on_named
        # Bounded: methods and status lines come from clients and applications. Threads that
        # meet in here find the same, so no lock is needed.
        self._counts: dict[Key, Count] = {}

    def count(self, environ: Environ, scope: RequestScope, status: str, took_s: float) -> None:
        """Count a request that was answered with ``status`` (a status line) after ``took_s``."""
        key = (
            environ["REQUEST_METHOD"], environ.get(ROUTE_KEY, UNMATCHED), status,
            scope.reason, scope.lane, scope.would_shed, scope.relieved,
        )  # fmt: skip
        count = self._counts.get(key)
        if count is None:
            count = self._found(key)
        count(took_s)
        if scope.retry_after_s:
            self._refused(environ, scope, status)
        elif scope.reason is _GONE:
            if self._on_shed is not None and _is_dropped(_GONE, status, scope.would_shed):
                self._on_shed(scope.lane or lane_of_method(environ), _GONE)
        elif scope.correlation is not None and self._on_named is not None and not scope.would_shed:
            method = key[0] if key[0] in _METHODS else OTHER_METHOD
            self._on_named((method, key[1]), took_s, scope.correlation)

    def _refused(self, environ: Environ, scope: RequestScope, status: str) -> None:
        if not _is_refusal(scope.reason, status, would_shed=scope.would_shed):
            return
        self._recorder.observe(metrics.RETRY_AFTER, (), scope.retry_after_s)
        if self._on_shed is not None:
            self._on_shed(scope.lane or lane_of_method(environ), scope.reason)

    def _found(self, key: Key) -> Count:
        method, route, status, reason, lane, would_shed, relieved = key
        method = method if method in _METHODS else OTHER_METHOD
        lane = lane or lane_of_method({"REQUEST_METHOD": method})
        histograms: tuple[tuple[metrics.Metric, tuple[str, ...]], ...] = (
            (metrics.HTTP_DURATION, (method, route)),
        )
        if would_shed:
            decision = "would_shed"
            histograms = (*histograms, (metrics.WOULD_SHED_DURATION, ()))
        elif _is_refusal(reason, status, would_shed=False):
            decision = "shed"
            histograms = ((metrics.SHED_DURATION, ()),)
        elif _is_dropped(reason, status, would_shed):
            # Nobody waited for it, so it was neither served nor refused in any time.
            decision, histograms = "dropped", ()
        elif relieved:
            # Answered without the lane, and so no measure of how fast that is.
            decision, histograms = relieved, ()
        else:
            # An application that catches a refusal and answers otherwise has answered.
            reason = Reason.OK if reason.sheds or reason is _GONE else reason
            decision = "bypassed" if reason is Reason.EXEMPT else "admitted"
        count = self._recorder.bind(
            (
                (metrics.HTTP_RESPONSES, (method, route, status[:3])),
                (metrics.DECISIONS_TOTAL, (decision, reason.value, lane.value)),
            ),
            histograms,
        )
        if len(self._counts) < _KEYS_MAX:
            self._counts[key] = count
        return count


def _is_refusal(reason: Reason, status: str, *, would_shed: bool) -> bool:
    return reason.sheds and not would_shed and status.startswith("503")


def _is_dropped(reason: Reason, status: str, would_shed: bool) -> bool:  # noqa: FBT001
    return reason is _GONE and not would_shed and status.startswith("499")


class NullRecorder:
    """A Recorder that keeps nothing, for a Guard without metrics."""

    def add(self, *args: object) -> None:
        """Do nothing."""

    def set(self, *args: object) -> None:
        """Do nothing."""

    def observe(self, *args: object) -> None:
        """Do nothing."""

    def bind(self, *args: object) -> Callable[[Any], None]:
        """Return what does nothing."""
        del args
        return self.add
