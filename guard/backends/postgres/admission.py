"""A fair semaphore with deadlines, an exact count of who waits, and a limit that can move."""

from __future__ import annotations

from collections import deque
from threading import Lock


class _Waiter:
    __slots__ = ("admitted", "gate")

    def __init__(self) -> None:
        self.admitted = False
        self.gate = Lock()
        self.gate.acquire()


class Admission:
    """Lets at most ``limit`` callers in at once, the others in the order of their arrival.

    Thread-safe. The driver's pool keeps those who gave up in its queue and tells only whole
    milliseconds, so callers wait here, in front of it.

    Args:
        limit: how many may be in at once, >= 0.
    """

    def __init__(self, limit: int) -> None:
        self._lock = Lock()
        # Guarded by _lock.
        self._limit = limit
        self._in_use = 0
        self._closed = False
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

    def enter(self, wait_s: float) -> bool:
        """Come in, after a wait of at most ``wait_s`` seconds; return whether it was granted."""
        with self._lock:
            if self._closed:
                return False
            if self._in_use < self._limit and not self._waiters:
                self._in_use += 1
                return True
            waiter = _Waiter()
            self._waiters.append(waiter)
        waiter.gate.acquire(timeout=max(0.0, wait_s))
        with self._lock:
            # Admitted between the time-out and this lock: take it, or the place would be lost.
            if not waiter.admitted and waiter in self._waiters:
                self._waiters.remove(waiter)
            return waiter.admitted

    def leave(self) -> None:
        """Give the place back; must be called once for every granted ``enter``."""
        with self._lock:
            self._in_use -= 1
            self._admit()

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

    def _admit(self) -> None:
        while self._waiters and self._in_use < self._limit:
            waiter = self._waiters.popleft()
            waiter.admitted = True
            self._in_use += 1
            waiter.gate.release()
