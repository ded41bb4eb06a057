"""The trace of the last request in each bucket of the latency histogram, for OpenMetrics.

prometheus_client knows exemplars only where one process counts. Here the requests' threads leave
them in a table of the worker, and the watcher notes it where the exporting process can read it.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from guard.events import Exemplar
from guard.metrics import REQUEST_BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.correlation import Correlation
    from guard.watches.locks import Note

PART: Final = "exemplars"
"""The part of a worker's note that holds its exemplars."""
MOST: Final = 64
"""Exemplars that a worker keeps; the oldest goes."""

_Key = tuple[tuple[str, ...], int]


class Exemplars:
    """Keeps the last recorded trace of each label set and bucket. Thread-safe.

    Args:
        wall_s: the wall clock, seconds since 1970.
        note: takes them at each look; None where nobody reads them.
    """

    def __init__(self, wall_s: Callable[[], float], note: Note | None) -> None:
        self._wall_s = wall_s
        self._note = note
        # In the order of age.
        self._kept: dict[_Key, Exemplar] = {}
        self._lock = Lock()

    def keep(self, labels: tuple[str, ...], took_s: float, correlation: Correlation) -> None:
        """Hear of a request that came with names; without a recorded trace it is forgotten.

        Args:
            labels: its label values in ``guard_http_request_duration_seconds``.
            took_s: its duration, seconds.
            correlation: its names.
        """
        if not correlation.sampled:
            return
        key = labels, bisect_left(REQUEST_BUCKETS_S, took_s)
        found = Exemplar(labels, key[1], took_s, correlation.trace_id, round(self._wall_s(), 3))
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = found
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]

    def __call__(self, _now_s: float) -> None:
        """Note what is kept."""
        if self._note is not None and self._kept:
            with self._lock:
                kept = list(self._kept.values())
            self._note.put(PART, [[list(each.labels), *each[1:]] for each in kept])


def all_exemplars(notes: Iterable[Mapping[str, Any]]) -> list[Exemplar]:
    """Return the youngest exemplar of each label set and bucket in all workers' notes."""
    found: dict[_Key, Exemplar] = {}
    for note in notes:
        for labels, *rest in note.get(PART, ()):
            each = Exemplar(tuple(labels), *rest)
            other = found.get((each.labels, each.bucket))
            if other is None or other.at_s < each.at_s:
                found[each.labels, each.bucket] = each
    return list(found.values())
