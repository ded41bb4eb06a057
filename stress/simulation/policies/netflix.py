"""Limits that adapt themselves, as published in Netflix's concurrency-limits.

Source: https://github.com/Netflix/concurrency-limits, ``VegasLimit``, ``Gradient2Limit``,
``WindowedLimit``, ``AIMDLimit`` and ``AbstractLimiter`` in their version of January 2026, with
their defaults. Written anew from the formulas; logging and metrics are left out.
"""

from __future__ import annotations

from math import ceil, log10
from typing import TYPE_CHECKING

from stress.simulation.policies.base import Limiter

if TYPE_CHECKING:
    from random import Random

    from stress.simulation.policies.base import Site

INITIAL = 20
"""The first limit of all three."""


class Aimd(Limiter):
    """Additive increase, multiplicative decrease (as TCP Reno).

    ``limit * backoff`` after a drop or an answer slower than ``timeout_s``; ``limit + 1`` where at
    least half of it was used; within ``least`` and ``most``.

    Args:
        site: where it works.
        least: the smallest limit.
        timeout_s: an answer slower than that counts as a drop.
    """

    most = 200
    backoff = 0.9

    def __init__(self, site: Site, least: int = 20, timeout_s: float = 5.0) -> None:
        super().__init__(site, INITIAL)
        self._least = least
        self._timeout_s = timeout_s

    def sample(self, took_s: float, under_way: int, _now_s: float, *, dropped: bool) -> None:
        """Adjust the limit; see the class."""
        limit = int(self.limit)
        if dropped or took_s > self._timeout_s:
            limit = int(limit * self.backoff)
        elif under_way * 2 >= limit:
            limit += 1
        self.limit = min(self.most, max(self._least, limit))


class Vegas(Limiter):
    """TCP Vegas: the queue is what the time beyond the shortest ever seen stands for.

    ``queue = ceil(limit * (1 - shortest / took))``. With ``l = max(1, floor(log10(limit)))``:
    queue <= l adds 6 l; < 3 l adds l; > 6 l takes l, and so does a drop. The shortest time is
    forgotten after ``30 * limit`` samples, shortened by up to a half at random.

    Args:
        site: where it works.
    """

    most = 1000
    probe_multiplier = 30

    def __init__(self, site: Site) -> None:
        super().__init__(site, INITIAL)
        self._draw: Random = site.draw
        self._shortest_s = 0.0
        self._samples = 0
        self._jitter = self._draw.uniform(0.5, 1.0)

    def sample(self, took_s: float, under_way: int, _now_s: float, *, dropped: bool) -> None:
        """Adjust the limit; see the class."""
        self._samples += 1
        if self._jitter * self.probe_multiplier * self.limit <= self._samples:
            self._jitter = self._draw.uniform(0.5, 1.0)
            self._samples = 0
            self._shortest_s = took_s
        elif not self._shortest_s or took_s < self._shortest_s:
            self._shortest_s = took_s
        else:
            change = self._change(took_s, under_way, dropped=dropped)
            self.limit = max(1, min(self.most, self.limit + change))

    def _change(self, took_s: float, under_way: int, *, dropped: bool) -> int:
        step = max(1, int(log10(self.limit)))
        if dropped:
            return -step
        if under_way * 2 < self.limit:
            return 0
        queue = ceil(self.limit * (1 - self._shortest_s / took_s))
        if queue <= step:
            return 6 * step
        if queue < 3 * step:
            return step
        return -step if queue > 6 * step else 0


class Gradient2(Limiter):
    """Gradient2: what a second's answers took, against what they took for long.

    Over windows of a second with at least ten samples, ``short`` is the mean time; ``long`` the
    exponential mean over 600 windows (the first ten count alike), taken down by 5 % while it is
    over twice the short one. If at least half of the limit was used::

        gradient = max(0.5, min(1, 1.5 * long / short))
        limit    = 0.8 * limit + 0.2 * (limit * gradient + 4)

    within ``least`` and ``most``.

    Args:
        site: where it works.
        least: the smallest limit.
        window_s: 0 judges each answer by itself.
    """

    most = 200
    samples_least = 10
    long_windows = 600
    warm_up = 10
    tolerance = 1.5
    smoothing = 0.2
    queue = 4

    def __init__(self, site: Site, least: int = 20, window_s: float = 1.0) -> None:
        super().__init__(site, INITIAL)
        self._least = least
        self._window_s = window_s
        self._samples_least = self.samples_least if window_s else 1
        self._ends_s = 0.0
        self._sum_s, self._count, self._most_under_way = 0.0, 0, 0
        self._long_s, self._windows = 0.0, 0

    def sample(self, took_s: float, under_way: int, now_s: float, *, dropped: bool) -> None:  # noqa: ARG002
        """Gather a window's samples, and adjust the limit at its end; see the class."""
        self._sum_s += took_s
        self._count += 1
        self._most_under_way = max(self._most_under_way, under_way)
        if now_s < self._ends_s:
            return
        self._ends_s = now_s + self._window_s
        if self._count >= self._samples_least:
            self._adjust(self._sum_s / self._count, self._most_under_way)
        self._sum_s, self._count, self._most_under_way = 0.0, 0, 0

    def _adjust(self, short_s: float, under_way: int) -> None:
        self._remember(short_s)
        long_s = self._long_s
        if long_s > 2 * short_s:
            self._long_s *= 0.95
        if under_way < self.limit / 2:
            return
        gradient = max(0.5, min(1.0, self.tolerance * long_s / short_s))
        wanted = self.limit * gradient + self.queue
        limit = (1 - self.smoothing) * self.limit + self.smoothing * wanted
        self.limit = max(self._least, min(self.most, limit))

    def _remember(self, short_s: float) -> None:
        if self._windows < self.warm_up:
            self._windows += 1
            self._long_s += (short_s - self._long_s) / self._windows
        else:
            self._long_s += (short_s - self._long_s) * 2 / (self.long_windows + 1)
