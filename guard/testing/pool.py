"""A pool of connections that are nothing but places."""

from __future__ import annotations

from threading import Condition

from guard.backends.base import PoolSignals
from guard.errors import BackendBusy, BackendClosed


class MemoryPool:
    """Places of one lane, taken for the length of a unit. Thread-safe.

    Args:
        size: how many there are, >= 0.
    """

    def __init__(self, size: int) -> None:
        self._changed = Condition()
        # Guarded by _changed.
        self._size = size
        self._size_max = size
        self._most = size
        self._in_use = 0
        self._waiting = 0
        self._closed = False

    def take(self, wait_s: float) -> None:
        """Take a place, after a wait of at most ``wait_s`` real seconds.

        Raises:
            BackendBusy: none came free.
            BackendClosed: the pool was closed.
        """
        with self._changed:
            self._waiting += 1
            try:
                got = self._changed.wait_for(self._open_or_free, max(0.0, wait_s))
            finally:
                self._waiting -= 1
            if self._closed:
                raise BackendClosed("the database is closed")
            if not got:
                raise BackendBusy(f"no connection within {wait_s:g} s")
            self._in_use += 1

    def give(self) -> None:
        """Give a place back."""
        with self._changed:
            self._in_use -= 1
            if self._closed:
                self._changed.notify_all()
            else:
                # One place, one waiter: waking them all would cost more than the place is worth.
                self._changed.notify()

    def resize(self, size: int) -> None:
        """Set how many places work; what was asked for stays, so fewer is a degraded pool."""
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def limit(self, most: int) -> None:
        """Lend at most ``most`` places at once; who has one keeps it."""
        with self._changed:
            self._most = most
            self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Refuse who waits or comes, and wait at most ``timeout_s`` for who is in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._in_use == 0, max(0.0, timeout_s))

    def signals(self) -> PoolSignals:
        """Return the pool at this moment."""
        with self._changed:
            slots = min(self._size, self._most)
            return PoolSignals(self._size, self._size_max, self._in_use, self._waiting, slots)

    def _open_or_free(self) -> bool:
        return self._closed or self._in_use < min(self._size, self._most)
