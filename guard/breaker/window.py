"""How the uses of the database ended lately, counted by each worker and summed over all."""

from __future__ import annotations

import os
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from guard.breaker.memory import BUCKET, BUCKETS
from guard.core.breaker_types import Tally

if TYPE_CHECKING:
    from guard.breaker.memory import BreakerMemory

_WORDS = BUCKET.size // 8
_NONE = -1


class Window:
    """Outcomes of the last ``window_s``, in ten buckets. Thread-safe.

    A bucket is forgotten as a whole, so the window reaches back 0.9 to 1 ``window_s``. It
    belongs to a generation: outcomes of another one are not summed with it.

    Args:
        memory: the breaker's memory.
        index: the row that this process counts in; None counts in memory of its own, that no
            other process sees.
    """

    def __init__(self, memory: BreakerMemory, index: int | None) -> None:
        self._memory = memory
        self._lock = Lock()
        self._shared = index is not None
        row = memory.row(index) if index is not None else _private()
        self._use(row)
        _ALL.add(self)

    def _use(self, row: memoryview) -> None:
        self._row = row
        self._words = row.cast("B").cast("Q")
        self._begins = row.cast("B").cast("d")
        self._number = _NONE
        self._generation = 0
        self._at = 0

    def count(self, word: int, generation: int, now_s: float, window_s: float) -> None:
        """Count one use of the database.

        Args:
            word: ``OK``, ``FAILURE``, ``QUICK`` or ``SLOW`` of ``guard.breaker.memory``.
            generation: the breaker's generation; one older than the last one seen is dropped.
            now_s: the time.
            window_s: the window's length, seconds.
        """
        number = int(now_s * BUCKETS / window_s)
        with self._lock:
            if generation < self._generation:
                return
            # Threads read the clock before they queue for the lock, so a time may be a little
            # older than the bucket; it counts in the newest.
            if number > self._number or generation > self._generation:
                self._turn(max(number, self._number), generation, window_s)
            self._words[self._at + word] += 1

    def _turn(self, number: int, generation: int, window_s: float) -> None:
        at = number % BUCKETS * _WORDS
        begin_s = number * window_s / BUCKETS
        same = self._words[at + 1] == generation and self._begins[at] == begin_s
        if not same:
            self._words[at + 1] = 0
            self._begins[at] = begin_s
            for word in range(2, _WORDS):
                self._words[at + word] = 0
            # Last: from here on readers sum it, and a kill before leaves an empty bucket.
            self._words[at + 1] = generation
        self._number, self._generation, self._at = number, generation, at

    def tally(self, generation: int, now_s: float, span_s: float) -> Tally:
        """Return the counts of ``generation`` over all workers.

        Args:
            generation: the breaker's generation.
            now_s: the time.
            span_s: how far to look back, seconds; at most the window's length.
        """
        oldest_s = now_s - span_s
        ok = failures = quick = slow = 0
        own = () if self._shared else BUCKET.iter_unpack(self._row)
        for bucket in chain(self._memory.buckets(), own):
            if bucket[1] == generation and bucket[0] > oldest_s:
                ok += bucket[2]
                failures += bucket[3]
                quick += bucket[4]
                slow += bucket[5]
        return Tally(ok, failures, quick, slow)

    def _after_fork(self) -> None:
        # A row has one writer, and that is the parent.
        self._lock = Lock()
        if self._shared:
            self._shared = False
            self._use(_private())


def _private() -> memoryview:
    return memoryview(bytearray(BUCKETS * BUCKET.size))


_ALL: WeakSet[Window] = WeakSet()


def _leave_rows() -> None:
    for window in list(_ALL):
        window._after_fork()  # noqa: SLF001 - a friend of the class


os.register_at_fork(after_in_child=_leave_rows)
