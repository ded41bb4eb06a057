"""A backend in memory: real pools, waits and deadlines, and a function for a database."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from guard.backends.base import Bounds
from guard.clock import MonotonicClock
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    StatementTimeout,
)
from guard.testing.pool import MemoryPool
from guard.testing.session import MemorySession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guard.backends.base import Insert, PoolSignals, Row, Session
    from guard.backends.waits import LockWait
    from guard.clock import Clock
    from guard.events import PoolObserver

T = TypeVar("T")
_NEUTRAL = (BackendBusy, BackendClosed, StatementTimeout)


def _no_rows(_sql: str, _params: Sequence[object]) -> list[Row]:
    return []


def _kind(error: BaseException) -> str:
    if isinstance(error, BackendFailed):
        return "unreachable"
    if isinstance(error, StatementTimeout):
        return "timeout"
    return "constraint" if isinstance(error, ConstraintViolation) else "statement"


class MemoryBackend:
    """A ``guard.backends.base.Backend`` without a database. Thread-safe.

    It keeps the contract's bounds: each lane has ``pool_size`` connections, a wait ends after
    ``bounds.wait_s`` real seconds, and a unit whose ``bounds.run_s`` is over gets
    ``StatementTimeout`` from its next statement's end. It knows no SQL and so no transactions:
    what a write unit did to the ``execute`` function's own data before it raised stays there.

    A slow database is an ``execute`` that moves a ``FakeClock`` or waits for an event; a sick one
    is ``failure``; a pool that lost connections is ``resize``.

    Args:
        pool_size: connections of each lane, >= 0.
        execute: answers each statement with its rows; none by default.
        observer: hears of waits, holds and statements.
        clock: measures waits and runs; the wait for a connection itself is real.
        bounds: for calls that bring none.
        opened: whether it is ready without ``open``.

    Attributes:
        failure: raised by every statement, insert and probe while it is set.
        rows: what was inserted, in order.
        waits: what ``lock_waits`` tells; may be set.
    """

    def __init__(
        self,
        pool_size: int = 2,
        execute: Callable[[str, Sequence[object]], list[Row]] = _no_rows,
        *,
        observer: PoolObserver | None = None,
        clock: Clock | None = None,
        bounds: Bounds = Bounds(1.0, 5.0),  # noqa: B008 - immutable
        opened: bool = True,
    ) -> None:
        self.failure: Exception | None = None
        self.rows: list[tuple[Insert, Row]] = []
        self.waits: tuple[LockWait, ...] = ()
        self._pools = {lane: MemoryPool(pool_size) for lane in Lane}
        self._execute = execute
        self._observer = observer
        self._clock = clock or MonotonicClock()
        self._bounds = bounds
        self._changed = Condition()
        self._ready = opened
        self._opening_error = ""

    def open(self, prepare: Callable[[Session], None] | None = None) -> None:
        """Run ``prepare`` and be ready, at once; where it raises, stay closed and keep the text."""
        try:
            if prepare is not None:
                prepare(MemorySession(self._answer, read_only=False))
        except Exception as error:  # noqa: BLE001 - told by opening_error, as the contract says
            self._opening_error = str(error).partition("\n")[0]
            return
        self._opening_error = ""
        self.ready = True

    @property
    def ready(self) -> bool:
        """Whether it is open; may be set."""
        return self._ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        with self._changed:
            self._ready = ready
            self._changed.notify_all()

    @property
    def opening_error(self) -> str:
        """Why the last ``open`` failed; empty while it didn't."""
        return self._opening_error

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready, at most ``timeout_s``; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ready, timeout_s)

    def read(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` with a read-only session and return its result."""
        with self._turn(Lane.READ, bounds) as session:
            return unit(session)

    @contextmanager
    def stream(self, bounds: Bounds | None = None) -> Iterator[MemorySession]:
        """Hold a read-only session over the block."""
        with self._turn(Lane.READ, bounds) as session:
            yield session

    def write(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` with a session that may write and return its result."""
        with self._turn(Lane.WRITE, bounds) as session:
            return unit(session)

    def insert(self, insert: Insert, row: Row, bounds: Bounds | None = None) -> None:
        """Append the row to ``rows``."""
        with self._turn(Lane.WRITE, bounds):
            if self.failure is not None:
                self._failed(Lane.WRITE, _kind(self.failure))
                raise self.failure
            self.rows.append((insert, row))

    def resize(self, lane: Lane, size: int) -> None:
        """Set how many of a lane's connections work (>= 0); ``size_max`` stays as it was asked."""
        self._pools[lane].resize(size)

    def signals(self, lane: Lane) -> PoolSignals:
        """Return the lane's pool at this moment."""
        return self._pools[lane].signals()

    def limit(self, lane: Lane, most: int) -> None:
        """Lend at most ``most`` of the lane's places at once."""
        self._pools[lane].limit(most)

    def lock_waits(self) -> tuple[LockWait, ...]:
        """Return ``waits``."""
        return self.waits

    def classify(self, error: BaseException) -> Outcome:
        """Return what an exception says about health; only ``BackendFailed`` is a failure."""
        if isinstance(error, BackendFailed):
            return Outcome.FAILURE
        if isinstance(error, _NEUTRAL) or not isinstance(error, Exception):
            return Outcome.NEUTRAL
        return Outcome.OK

    def probe(self, lane: Lane, timeout_s: float) -> None:
        """Answer at once.

        Raises:
            BackendError: not ready, or ``failure`` is set.
        """
        del lane, timeout_s
        if not self._ready:
            raise BackendClosed("the database is not open")
        if isinstance(self.failure, BackendError):
            raise self.failure
        if self.failure is not None:
            raise BackendFailed(str(self.failure)) from self.failure

    def close(self, timeout_s: float = 5.0) -> None:
        """Let running units end, at most ``timeout_s`` for each lane. Idempotent."""
        self.ready = False
        for pool in self._pools.values():
            pool.close(timeout_s)

    @contextmanager
    def _turn(self, lane: Lane, bounds: Bounds | None) -> Iterator[MemorySession]:
        bounds = bounds or self._bounds
        called_s = self._clock.now_s()
        self._take(lane, bounds)
        started_s = self._clock.now_s()
        until_s = min(started_s + bounds.run_s, called_s + bounds.within_s)

        def run(sql: str, params: Sequence[object]) -> list[Row]:
            return self._statement(lane, until_s, sql, params)

        session = MemorySession(run, read_only=lane is Lane.READ)
        outcome = Outcome.OK
        try:
            yield session
        except BaseException as error:
            outcome = self.classify(error)
            raise
        finally:
            session.end()
            self._pools[lane].give()
            if self._observer is not None:
                self._observer.released(lane, self._clock.now_s() - started_s, outcome)

    def _take(self, lane: Lane, bounds: Bounds) -> None:
        if not self._ready:
            raise BackendClosed("the database is not open")
        asked_s = self._clock.now_s()
        got = False
        try:
            self._pools[lane].take(bounds.wait_s, newest_first=bounds.newest_first)
            got = True
        except BackendBusy:
            self._failed(lane, "busy")
            raise
        finally:
            if self._observer is not None:
                self._observer.acquired(lane, self._clock.now_s() - asked_s, got=got)

    def _statement(
        self, lane: Lane, until_s: float, sql: str, params: Sequence[object]
    ) -> list[Row]:
        asked_s = self._clock.now_s()
        outcome = Outcome.OK
        try:
            self._in_time(asked_s, until_s)
            rows = self._answer(sql, params)
            self._in_time(self._clock.now_s(), until_s)
        except BaseException as error:
            outcome = self.classify(error)
            self._failed(lane, _kind(error))
            raise
        else:
            return rows
        finally:
            if self._observer is not None:
                self._observer.queried(lane, self._clock.now_s() - asked_s, outcome)

    def _in_time(self, now_s: float, until_s: float) -> None:
        if now_s > until_s:
            raise StatementTimeout("the unit ran out of time")

    def _failed(self, lane: Lane, kind: str) -> None:
        if self._observer is not None:
            self._observer.failed(lane, kind)

    def _answer(self, sql: str, params: Sequence[object]) -> list[Row]:
        if self.failure is not None:
            raise self.failure
        return self._execute(sql, params)
