"""A pool of connections that are nothing but places."""

from __future__ import annotations

from guard.backends.base import PoolSignals
from guard.backends.turns import Turns
from guard.errors import BackendBusy, BackendClosed


class MemoryPool:
    """Places of one lane, taken for the length of a unit. Thread-safe.

    Args:
        size: how many there are, >= 0.
    """

    def __init__(self, size: int) -> None:
        self._turns = Turns(size)
        self._size = size
        self._size_max = size
        self._most = size

    def take(self, wait_s: float, *, newest_first: bool = False) -> None:
        """Take a place, after a wait of at most ``wait_s`` real seconds.

        Raises:
            BackendBusy: none came free.
            BackendClosed: the pool was closed.
        """
        if self._turns.enter(wait_s, newest_first=newest_first):
            return
        if self._turns.closed:
            raise BackendClosed("the database is closed")
        raise BackendBusy(f"no connection within {wait_s:g} s")

    def give(self) -> None:
        """Give a place back."""
        self._turns.leave()

    def resize(self, size: int) -> None:
        """Set how many places work; what was asked for stays, so fewer is a degraded pool."""
        self._size = size
        self._turns.resize(min(size, self._most))

    def limit(self, most: int) -> None:
        """Lend at most ``most`` places at once; who has one keeps it."""
        self._most = most
        self._turns.resize(min(self._size, most))

    def close(self, timeout_s: float) -> None:
        """Refuse who waits or comes, and wait at most ``timeout_s`` for who is in."""
        self._turns.close()
        self._turns.drain(max(0.0, timeout_s))

    def signals(self) -> PoolSignals:
        """Return the pool at this moment."""
        turns, slots = self._turns, min(self._size, self._most)
        return PoolSignals(self._size, self._size_max, turns.in_use, turns.waiting, slots)
