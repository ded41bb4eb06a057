"""A bounded set of cursors for reads."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from guard.backends.duckdb.sessions import Handle
from guard.backends.turns import Turns
from guard.errors import BackendBusy, BackendClosed

if TYPE_CHECKING:
    from collections.abc import Callable


class Counts(NamedTuple):
    """A pool's cursors: those that work, those given out, and the callers that wait."""

    size: int
    in_use: int
    waiting: int


class ReaderPool:
    """Thread-safe. The size falls where a broken cursor can't be replaced.

    ``most`` cursors are given out at once; ``limit`` changes it.

    Args:
        connect: returns a new cursor, or raises ``duckdb.Error``.
        size_max: how many to make, >= 1.

    Raises:
        duckdb.Error: a cursor could not be made.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection], size_max: int) -> None:
        self._connect = connect
        self.size_max = size_max
        self.most = size_max
        self._turns = Turns(size_max)
        self._lock = Lock()
        # Guarded by _lock. There are never fewer idle ones than turns that can be had.
        self._idle = deque(Handle(connect()) for _ in range(size_max))
        self._busy: set[Handle] = set()

    def counts(self) -> Counts:
        """Return the pool at this moment."""
        with self._lock:
            in_use = len(self._busy)
            return Counts(len(self._idle) + in_use, in_use, self._turns.waiting)

    def cursors(self) -> list[duckdb.DuckDBPyConnection]:
        """Return all cursors, idle or not; takes no lock: in a fork it might never come free."""
        return [handle.cursor for handle in (*self._idle, *self._busy)]

    def take(self, wait_s: float, *, newest_first: bool = False) -> Handle:
        """Return a cursor, after a wait of at most ``wait_s`` seconds; give it back once.

        Args:
            wait_s: the bound.
            newest_first: see ``Turns.enter``.

        Raises:
            BackendBusy: none came free.
            BackendClosed: the pool is closing.
        """
        if not self._turns.enter(wait_s, newest_first=newest_first):
            if self._turns.closed:
                raise BackendClosed("the database is closing")
            raise BackendBusy(f"no read connection came free within {wait_s:.3f} s")
        with self._lock:
            handle = self._idle.popleft()
            self._busy.add(handle)
        return handle

    def give(self, handle: Handle, *, broken: bool = False) -> None:
        """Give a cursor back; a broken one is replaced by a new one."""
        fresh = self._replacement() if broken else handle
        surplus = [handle] if broken else []
        with self._lock:
            self._busy.discard(handle)
            if fresh is not None and self._turns.closed:
                surplus.append(fresh)
            elif fresh is not None:
                self._idle.append(fresh)
            if fresh is None:
                self._resize()
        self._turns.leave()
        for each in surplus:
            _close(each)

    def limit(self, most: int) -> None:
        """Give out at most ``most`` cursors at once, >= 1; who has one keeps it."""
        with self._lock:
            self.most = most
            self._resize()

    def _resize(self) -> None:
        self._turns.resize(min(len(self._idle) + len(self._busy), self.most))

    def _replacement(self) -> Handle | None:
        try:
            return Handle(self._connect())
        except duckdb.Error:
            return None

    def stop(self) -> None:
        """Refuse all who wait or come; who has a cursor keeps it."""
        self._turns.close()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until no cursor is in use, at most ``timeout_s``; return whether that is so."""
        return self._turns.drain(timeout_s)

    def interrupt(self) -> None:
        """Cut the statements that run."""
        with self._lock:
            busy = list(self._busy)
        for handle in busy:
            handle.cursor.interrupt()

    def close(self) -> None:
        """Close the idle cursors; those in use are closed when they come back."""
        self.stop()
        with self._lock:
            idle = list(self._idle)
            self._idle.clear()
        for handle in idle:
            _close(handle)


def _close(handle: Handle) -> None:
    try:
        handle.cursor.close()
    except duckdb.Error:  # pragma: no cover -- it is gone either way
        return
