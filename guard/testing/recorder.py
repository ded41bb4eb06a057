"""A recorder in memory, to see in a test what was measured."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

from guard.metrics import ALL, Kind, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.events import Count, Series

_Key = tuple[Metric, tuple[str, ...]]


class MemoryRecorder:
    """A ``Recorder`` and ``MetricSource`` for one process. Thread-safe.

    Every label set that a metric declares is there from the start with 0.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[_Key, float] = {}
        self._counts: dict[_Key, list[float]] = {}
        for metric in ALL:
            for labels in metric.known_label_sets():
                self._put((metric, labels), 0.0)

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add ``amount`` (>= 0) to a counter."""
        with self._lock:
            self._put((metric, labels), self._values.get((metric, labels), 0.0) + amount)

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._put((metric, labels), float(value))

    def observe(
        self, metric: Metric, labels: tuple[str, ...], value: float, times: int = 1
    ) -> None:
        """Count ``value`` (in the metric's unit) into a histogram, as if seen ``times`` times."""
        key = (metric, labels)
        with self._lock:
            self._put(key, self._values.get(key, 0.0) + value * times)
            self._counts[key][bisect_left(metric.buckets, value)] += times

    def bind(self, counters: Sequence[Series], histograms: Sequence[Series]) -> Count:
        """Return what adds 1 to all counters and its argument to all histograms."""

        def count(value: float) -> None:
            for metric, labels in counters:
                self.add(metric, labels)
            for metric, labels in histograms:
                self.observe(metric, labels, value)

        return count

    def value(self, metric: Metric, labels: tuple[str, ...] = ()) -> float:
        """Return a counter's or gauge's value, a histogram's sum; 0 where nothing was recorded."""
        with self._lock:
            return self._values.get((metric, labels), 0.0)

    def count(self, metric: Metric, labels: tuple[str, ...] = ()) -> int:
        """Return the number of observations of a histogram."""
        with self._lock:
            return int(sum(self._counts.get((metric, labels), ())))

    def collect(self) -> Iterable[Sample]:
        """Return one sample per known label set."""
        with self._lock:
            return [
                Sample(metric, labels, value, tuple(self._counts.get((metric, labels), ())))
                for (metric, labels), value in self._values.items()
            ]

    def _put(self, key: _Key, value: float) -> None:
        self._values[key] = value
        if key[0].kind is Kind.HISTOGRAM and key not in self._counts:
            self._counts[key] = [0.0] * (len(key[0].buckets) + 1)
