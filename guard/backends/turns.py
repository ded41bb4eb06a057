"""Turns at something of which there is little: a bounded number at once, the others wait.

Whoever waits does so in the order of arrival, or, for as long as callers say that the queue stands,
behind everybody who came after. Oldest first is fair and best while a queue is a burst that drains.
In a queue that stands everybody waits for as long as it is; newest first, those who came last are
served at once and the few at its end wait for nothing, which Maurer, "Fail at Scale" (ACM Queue,
2015), calls adaptive LIFO. Changed: what tells that the queue stands is the caller's business.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock


class _Waiter:
    __slots__ = ("admitted", "gate")

    def __init__(self) -> None:
        self.admitted = False
        self.gate = Lock()
        self.gate.acquire()


class Turns:
    """Lets at most ``limit`` callers in at once. Thread-safe.

    A turn is handed over, not announced: it belongs to the waiter before that one wakes up, so that
    none is lost to a waiter that has just given up, and none is taken twice.

    Args:
        limit: how many may be in at once, >= 0.
    """

    def __init__(self, limit: int) -> None:
        self._lock = Lock()
        self._empty = Condition(self._lock)
        # Guarded by _lock.
        self._limit = limit
        self._in_use = 0
        self._closed = False
        self._newest_first = False
        self._waiters: deque[_Waiter] = deque()

    @property
    def in_use(self) -> int:
        """How many are in."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @property
    def closed(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed

    def enter(self, wait_s: float, *, newest_first: bool = False) -> bool:
        """Come in, after a wait of at most ``wait_s`` seconds; return whether it was granted.

        Args:
            wait_s: how long; not at all where it is <= 0.
            newest_first: whether the queue stands; counts for all who wait, until the next says.
        """
        with self._lock:
            if self._closed:
                return False
            self._newest_first = newest_first
            if self._in_use < self._limit and not self._waiters:
                self._in_use += 1
                return True
            waiter = _Waiter()
            self._waiters.append(waiter)
        waiter.gate.acquire(timeout=max(0.0, wait_s))
        with self._lock:
            # Admitted between the time-out and this lock: take it, or the turn would be lost.
            if not waiter.admitted and waiter in self._waiters:
                self._waiters.remove(waiter)
            return waiter.admitted

    def leave(self) -> None:
        """Give the turn back; must be called once for every granted ``enter``."""
        with self._lock:
            self._in_use -= 1
            self._admit()
            if not self._in_use:
                self._empty.notify_all()

    def resize(self, limit: int) -> None:
        """Change the limit; who is in stays in."""
        with self._lock:
            self._limit = limit
            self._admit()

    def close(self) -> None:
        """Refuse all who wait or come; who is in stays in."""
        with self._lock:
            self._closed = True
            while self._waiters:
                self._waiters.popleft().gate.release()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until nobody is in, at most ``timeout_s`` seconds; return whether that is so."""
        with self._lock:
            return self._empty.wait_for(lambda: not self._in_use, timeout_s)

    def _admit(self) -> None:
        while self._waiters and self._in_use < self._limit:
            waiter = self._waiters.pop() if self._newest_first else self._waiters.popleft()
            waiter.admitted = True
            self._in_use += 1
            waiter.gate.release()
