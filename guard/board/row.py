"""A worker's row: the Recorder of one worker process."""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from guard.board.layout import METRIC_INDEX, OTHER, ROUTE, RowMemory
from guard.board.table import NOWHERE, Table
from guard.metrics import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.board.breakers import WorkerBreakers
    from guard.board.layout import Key, Labels
    from guard.board.notes import Note
    from guard.board.refusals import Ring
    from guard.board.shared import Shared
    from guard.events import Count, Series
    from guard.metrics import Metric

ROUTES_MAX: Final = 100
"""Most values of a label named ``route``; further ones are counted as ``(other)``."""
ROUTE_BYTES_MAX: Final = 128
"""Longest such value in UTF-8; a longer one is counted as ``(other)``."""

log = logging.getLogger("guard.board")


class WorkerRow:
    """Takes one worker's measurements; made by ``Board.claim``.

    Thread-safe among the threads of its process, and no other process may write: a process
    forked from the worker writes to memory of its own. Nothing here raises. It must not be
    called from a signal handler, which could interrupt a holder of the lock.

    A new route gets a label value of its own where another worker has it already, or while the
    host has fewer than ``ROUTES_MAX``. Workers that add their first one at the same instant can
    go over that by one each; a row never holds more than ``ROUTES_MAX``.

    Args:
        memory: the row, whose entries are written anew.
        routes_of_host: gives the routes that any row has.
        siblings: what the worker shares with the others beside its row.
        note: the document beside the row.
        shared: whether other processes see the memory.

    Attributes:
        siblings: as above.
        note: the document beside the row; for one thread.
        breakers: the host's breakers as this worker uses them; None without a board.
        refusals: takes the worker's refusals; ``Board.claim`` sets it.
    """

    breakers: WorkerBreakers | None = None

    def __init__(
        self,
        memory: RowMemory,
        routes_of_host: Callable[[], set[str]],
        siblings: Shared,
        note: Note,
        *,
        shared: bool,
    ) -> None:
        self.note = note
        self._routes_of_host = routes_of_host
        self.siblings = siblings
        self._shared = shared
        self.refusals: Ring | None = None
        self._routes: set[str] = set()
        self._host_routes: set[str] = set()
        self._told = False
        self._use(memory)
        _ROWS.add(self)

    def _use(self, memory: RowMemory) -> None:
        self._memory = memory
        self._cells = memory.cells
        self._table = Table(memory)
        self._counters = self._table.offsets[Kind.COUNTER]
        self._gauges = self._table.offsets[Kind.GAUGE]
        self._histograms = self._table.offsets[Kind.HISTOGRAM]
        # Guards the cells' read-modify-write, the table, and both sets of routes.
        self._lock = Lock()

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add ``amount`` to a counter; nothing where it is negative, infinite or not a number."""
        if not 0.0 <= amount < inf:
            return
        try:
            offset = self._counters[metric, labels]
        except (KeyError, TypeError):
            offset = self._place(Kind.COUNTER, metric, labels)
            if offset == NOWHERE:
                return
        with self._lock:
            self._cells[offset] += amount

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge; nothing where the value is infinite or not a number."""
        if not -inf < value < inf:
            return
        try:
            offset = self._gauges[metric, labels]
        except (KeyError, TypeError):
            offset = self._place(Kind.GAUGE, metric, labels)
            if offset == NOWHERE:
                return
        # One store: no lock is needed for it to be whole.
        self._cells[offset] = value

    def observe(
        self, metric: Metric, labels: tuple[str, ...], value: float, times: int = 1
    ) -> None:
        """Count ``value`` into a histogram, as 0 where negative; nothing where not finite."""
        if not -inf < value < inf:
            return
        try:
            offset = self._histograms[metric, labels]
        except (KeyError, TypeError):
            offset = self._place(Kind.HISTOGRAM, metric, labels)
            if offset == NOWHERE:
                return
        bucket = offset + 1 + bisect_left(metric.buckets, value)
        with self._lock:
            self._cells[bucket] += times
            if value > 0.0:
                self._cells[offset] += value * times

    def bind(self, counters: Sequence[Series], histograms: Sequence[Series]) -> Count:
        """Return what adds 1 to all counters and its argument to all histograms, in one step."""
        found = [self._found(self._counters, Kind.COUNTER, *series) for series in counters]
        ones = tuple(offset for offset in found if offset != NOWHERE)
        sums = tuple(
            (offset, offset + 1, metric.buckets)
            for metric, labels in histograms
            if (offset := self._found(self._histograms, Kind.HISTOGRAM, metric, labels)) != NOWHERE
        )

        def count(value: float) -> None:
            if not 0.0 <= value < inf:
                value = 0.0
            # Asked for anew each time: a fork changes both.
            with self._lock:
                cells = self._cells
                for offset in ones:
                    cells[offset] += 1.0
                for offset, first, buckets in sums:
                    cells[first + bisect_left(buckets, value)] += 1.0
                    cells[offset] += value

        return count

    def _found(self, known: dict[Key, int], kind: Kind, metric: Metric, labels: Labels) -> int:
        try:
            return known[metric, labels]
        except (KeyError, TypeError):
            return self._place(kind, metric, labels)

    def heartbeat(self, now_s: float) -> None:
        """Say that the worker lives.

        Args:
            now_s: the monotonic clock, which all processes of the host share.
        """
        self._memory.heartbeat_s = now_s

    def _place(self, kind: Kind, metric: Metric, labels: Labels) -> int:
        if metric.kind is not kind or metric not in METRIC_INDEX:
            return NOWHERE
        clean = tuple(str(label).encode("utf-8", "replace").decode() for label in labels)
        if ROUTE in metric.labels and len(clean) == len(metric.labels):
            at = metric.labels.index(ROUTE)
            clean = (*clean[:at], self._bounded(clean[at]), *clean[at + 1 :])
        with self._lock:
            offset = self._table.place(metric, clean)
            tell = self._table.full and not self._told
            self._told = self._told or tell
        if tell:
            log.warning(
                "the board has no room for more label sets of %s (or theirs are too long): from "
                "now on such are counted as %s, or not at all where a metric's labels are fixed",
                metric.name, OTHER,
            )  # fmt: skip
        return offset

    def _bounded(self, route: str) -> str:
        if route in self._routes or route == OTHER:
            return route
        if len(route.encode()) > ROUTE_BYTES_MAX:
            return OTHER
        # Once the host has all of them no look at the other rows can add one.
        more = len(self._host_routes) < ROUTES_MAX
        host = self._routes_of_host() if more else set()
        with self._lock:
            self._host_routes |= host
            fits = route in self._host_routes or len(self._host_routes) < ROUTES_MAX
            if route in self._routes:
                return route  # another thread was faster
            if not fits or len(self._routes) >= ROUTES_MAX:
                return OTHER
            self._routes.add(route)
            self._host_routes.add(route)
        return route

    def _after_fork(self) -> None:
        # The lock may have been held by a thread that this process doesn't have.
        if self._shared:
            shape = self._memory.shape
            self._use(RowMemory(memoryview(bytearray(shape.size_bytes)), shape))
            self.siblings.leave()
        else:
            self._lock = Lock()


_ROWS: WeakSet[WorkerRow] = WeakSet()


def _leave_rows() -> None:
    for row in list(_ROWS):
        row._after_fork()  # noqa: SLF001 - a friend of the class


os.register_at_fork(after_in_child=_leave_rows)
