"""A bounded set of cursors for reads, given out in the order of arrival."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from guard.backends.duckdb.sessions import Handle
from guard.errors import BackendBusy, BackendClosed

if TYPE_CHECKING:
    from collections.abc import Callable


class Counts(NamedTuple):
    """A pool's cursors: those that work, those given out, and the callers that wait."""

    size: int
    in_use: int
    waiting: int


class _Waiter:
    __slots__ = ("gate", "handle")

    def __init__(self) -> None:
        self.handle: Handle | None = None
        self.gate = Lock()
        self.gate.acquire()


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
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._idle = deque(Handle(connect()) for _ in range(size_max))
        self._busy: set[Handle] = set()
        self._waiters: deque[_Waiter] = deque()
        self._closed = False

    def counts(self) -> Counts:
        """Return the pool at this moment."""
        with self._changed:
            in_use = len(self._busy)
            return Counts(len(self._idle) + in_use, in_use, len(self._waiters))

    def cursors(self) -> list[duckdb.DuckDBPyConnection]:
        """Return all cursors, idle or not; takes no lock: in a fork it might never come free."""
        return [handle.cursor for handle in (*self._idle, *self._busy)]

    def take(self, wait_s: float) -> Handle:
        """Return a cursor, after a wait of at most ``wait_s`` seconds; give it back once.

        Raises:
            BackendBusy: none came free.
            BackendClosed: the pool is closing.
        """
        with self._changed:
            self._check_open()
            if self._idle and not self._waiters and len(self._busy) < self.most:
                handle = self._idle.popleft()
                self._busy.add(handle)
                return handle
            waiter = _Waiter()
            self._waiters.append(waiter)
        waiter.gate.acquire(timeout=max(0.0, wait_s))
        with self._changed:
            # Handed over between the time-out and this lock: take it, or it would be lost.
            if waiter.handle is not None:
                return waiter.handle
            self._check_open()
            self._waiters.remove(waiter)
        raise BackendBusy(f"no read connection came free within {wait_s:.3f} s")

    def _check_open(self) -> None:
        if self._closed:
            raise BackendClosed("the database is closing")

    def give(self, handle: Handle, *, broken: bool = False) -> None:
        """Give a cursor back; a broken one is replaced by a new one."""
        fresh = self._replacement() if broken else handle
        surplus = [handle] if broken else []
        with self._changed:
            self._busy.discard(handle)
            if fresh is not None and self._closed:
                surplus.append(fresh)
            elif fresh is not None:
                self._idle.append(fresh)
                self._hand_over()
            self._changed.notify_all()
        for each in surplus:
            _close(each)

    def limit(self, most: int) -> None:
        """Give out at most ``most`` cursors at once, >= 1; who has one keeps it."""
        with self._changed:
            self.most = most
            self._hand_over()

    def _hand_over(self) -> None:
        while self._waiters and self._idle and len(self._busy) < self.most:
            waiter = self._waiters.popleft()
            waiter.handle = self._idle.popleft()
            self._busy.add(waiter.handle)
            waiter.gate.release()

    def _replacement(self) -> Handle | None:
        try:
            return Handle(self._connect())
        except duckdb.Error:
            return None

    def stop(self) -> None:
        """Refuse all who wait or come; who has a cursor keeps it."""
        with self._changed:
            self._closed = True
            while self._waiters:
                self._waiters.popleft().gate.release()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until no cursor is in use, at most ``timeout_s``; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_s)

    def interrupt(self) -> None:
        """Cut the statements that run."""
        with self._changed:
            busy = list(self._busy)
        for handle in busy:
            handle.cursor.interrupt()

    def close(self) -> None:
        """Close the idle cursors; those in use are closed when they come back."""
        self.stop()
        with self._changed:
            idle = list(self._idle)
            self._idle.clear()
        for handle in idle:
            _close(handle)


def _close(handle: Handle) -> None:
    try:
        handle.cursor.close()
    except duckdb.Error:  # pragma: no cover -- it is gone either way
        return
