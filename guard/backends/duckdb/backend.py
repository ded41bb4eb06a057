"""DuckDB behind the backend protocol: reader cursors and one writer, in one process."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final, TypeVar, cast

from guard.backends.base import PoolSignals
from guard.backends.duckdb.engine import Engine
from guard.backends.duckdb.errors import is_fatal, judge, one_line
from guard.backends.duckdb.queue import RowInsert, Work
from guard.backends.duckdb.sessions import DuckDBSession, Limits
from guard.backends.waits import LockWait
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendBusy, BackendClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.base import Bounds, Insert, Row, Session, StreamSession
    from guard.backends.duckdb.config import DuckDBConfig
    from guard.backends.duckdb.sessions import Handle
    from guard.clock import Clock
    from guard.events import PoolObserver

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.05
_LAST_PAUSE_S: Final = 0.5

log = logging.getLogger("guard.duckdb")


class DuckDBBackend:
    """Implements ``Backend`` for DuckDB; see there. Thread-safe.

    A file belongs to one process. Make and open the backend after the fork; a forked copy
    refuses to work, and is kept from touching the file.

    Args:
        config: where the file is, and all bounds.
        observer: hears of waits, statements and errors.
        clock: measures them.
    """

    def __init__(self, config: DuckDBConfig, observer: PoolObserver, clock: Clock) -> None:
        self._config = config
        self._observer = observer
        self._clock = clock
        self._ready = Event()
        self._stop = Event()
        self._opening_error = ""
        self._pid = os.getpid()
        self._lock = Lock()
        # Guarded by _lock.
        self._engine: Engine | None = None
        self._opener: Thread | None = None
        self._prepare: Callable[[Session], None] | None = None
        self._closed = False

    def open(self, prepare: Callable[[Session], None] | None = None) -> None:
        """Start to open in the background; see ``Backend.open``.

        Raises:
            BackendClosed: it was closed before, or made in another process.
        """
        with self._lock:
            if self._closed or self._pid != os.getpid():
                raise BackendClosed(self._why_closed())
            if self._opener is None:
                self._prepare = prepare
                self._start_opener(None)

    @property
    def ready(self) -> bool:
        """Whether the backend is open and prepared."""
        return self._ready.is_set()

    @property
    def opening_error(self) -> str:
        """Why the last attempt to open failed, one line; empty while there was none."""
        return self._opening_error

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready, at most ``timeout_s``; return whether it is."""
        return self._ready.wait(timeout_s)

    def read(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` in a read-only transaction; see ``Backend.read``."""
        with self._turn(bounds or self._config.bounds) as session:
            return unit(session)

    @contextmanager
    def stream(self, bounds: Bounds | None = None) -> Iterator[StreamSession]:
        """Hold a read-only transaction over the block; see ``Backend.stream``."""
        with self._turn(bounds or self._config.bounds) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Hold a read-only transaction over the block, beside the lane: unbounded and unmeasured.

        For work that is nobody's request, such as a copy: it takes no request's connection. Its
        statements compete with theirs for the processor, so they should be short.

        Raises:
            BackendClosed: not open.
        """
        with self._opened().snapshot() as session:
            yield session

    def write(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` in the writer's thread, in a transaction; see ``Backend.write``.

        The transaction may hold other callers' units too. Where it has to be undone for one of
        them, the others are run again, so a unit must have no effect but the database's. It
        sees its caller's context variables, but not its thread.
        """
        engine = self._opened()
        work = Work(bounds or self._config.bounds, self._clock.now_s(), unit)
        return cast("T", engine.writer.submit(work))

    def insert(self, insert: Insert, row: Row, bounds: Bounds | None = None) -> None:
        """Insert one row, together with others that wait; see ``Backend.insert``.

        Raises:
            ValueError: the row does not have the shape's length.
        """
        engine = self._opened()
        unit = RowInsert(bounds or self._config.bounds, self._clock.now_s(), insert, row)
        engine.writer.submit(unit)

    def signals(self, lane: Lane) -> PoolSignals:
        """Return the lane's pool at this moment; its size is 0 while it is not open."""
        here = self._ready.is_set() and self._pid == os.getpid()
        engine = self._engine if here else None
        if lane is Lane.READ:
            size_max = self._config.readers
            if engine is None:
                return PoolSignals(0, size_max, 0, 0, 0)
            size, in_use, waiting = engine.readers.counts()
            slots = min(size, engine.readers.most)
            return PoolSignals(size, size_max, in_use, waiting, slots)
        if engine is None or not engine.writer.alive:
            return PoolSignals(0, 1, 0, 0, 0)
        writer = engine.writer
        return PoolSignals(1, 1, int(writer.busy), writer.waiting, self._config.write_batch_max)

    def limit(self, lane: Lane, most: int) -> None:
        """Lend at most ``most`` cursors at once; see ``Backend.limit``."""
        engine = self._engine if self._ready.is_set() else None
        if engine is not None and lane is Lane.READ:
            engine.readers.limit(most)

    def lock_waits(self) -> tuple[LockWait, ...]:
        """Return the writer's queue where one stands: how many wait, and the oldest's wait."""
        engine = self._engine if self._ready.is_set() else None
        if engine is None or not engine.writer.waiting:
            return ()
        waiting, oldest_s = engine.writer.waiting, engine.writer.oldest_wait_s
        return (LockWait(Lane.WRITE, waiting, oldest_s, "writer"),)

    def classify(self, error: BaseException) -> Outcome:
        """Return what an exception says about health."""
        return judge(error).outcome

    def probe(self, lane: Lane, timeout_s: float) -> None:
        """Ask on a cursor that no request uses; see ``Backend.probe``."""
        self._opened().probe(lane, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Refuse new units, let those end that wait or run, close. Idempotent."""
        if self._pid != os.getpid():
            return
        with self._lock:
            first, self._closed = not self._closed, True
            opener = self._opener
        self._ready.clear()
        self._stop.set()
        if not first:
            return
        if opener is not None:
            # Where it is busy with a long preparation, it will see for itself.
            opener.join(timeout_s)
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close(timeout_s)

    def _opened(self) -> Engine:
        engine = self._engine
        if engine is None or not self._ready.is_set() or self._pid != os.getpid():
            raise BackendClosed(self._why_closed())
        return engine

    def _why_closed(self) -> str:
        if self._pid != os.getpid():
            return "the database belongs to another process; make and open it after the fork"
        if self._closed:
            return "the database is closed"
        return f"the database is not open yet: {self._opening_error or 'opening'}"

    @contextmanager
    def _turn(self, bounds: Bounds) -> Iterator[DuckDBSession]:
        engine = self._opened()
        called_s = self._clock.now_s()
        handle = self._take(engine, bounds)
        started_s = self._clock.now_s()
        limits = Limits(
            min(started_s + bounds.run_s, called_s + bounds.within_s),
            self._config.statement_timeout_s,
            self._config.result_rows_max,
        )
        session = DuckDBSession(Lane.READ, handle, limits, engine.tools)
        outcome = Outcome.OK
        broken = False
        try:
            session.begin()
            yield session
        except BaseException as error:
            outcome = judge(error).outcome
            broken = outcome is Outcome.FAILURE
            if is_fatal(error):
                self._reopen(engine, error)
            raise
        finally:
            session.end()
            engine.readers.give(handle, broken=not handle.rollback() or broken)
            self._observer.released(Lane.READ, self._clock.now_s() - started_s, outcome)

    def _take(self, engine: Engine, bounds: Bounds) -> Handle:
        started_s = self._clock.now_s()
        try:
            handle = engine.readers.take(bounds.wait_s, newest_first=bounds.newest_first)
        except BackendBusy:
            self._observer.acquired(Lane.READ, self._clock.now_s() - started_s, got=False)
            self._observer.failed(Lane.READ, "busy")
            raise
        self._observer.acquired(Lane.READ, self._clock.now_s() - started_s, got=True)
        return handle

    def _reopen(self, engine: Engine, error: BaseException) -> None:
        """Give up an engine that has given up itself, and open the file anew."""
        with self._lock:
            if self._closed or self._engine is not engine:
                return
            self._engine = None
            self._ready.clear()
            self._opening_error = one_line(error)
            self._start_opener(engine)
        log.error("the database engine failed and is opened anew: %s", self._opening_error)

    def _start_opener(self, failed: Engine | None) -> None:
        self._opener = Thread(
            target=self._open, args=(failed,), name="guard-duckdb-opener", daemon=True
        )
        self._opener.start()

    def _open(self, failed: Engine | None) -> None:
        if failed is not None:
            failed.close(_LAST_PAUSE_S)
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                engine = self._attempt()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is tried again
                self._failed_to_open(error)
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
            else:
                self._publish(engine)
                return

    def _attempt(self) -> Engine:
        engine = Engine(self._config, self._observer, self._clock, self._reopen)
        try:
            if self._prepare is not None:
                engine.prepare(self._prepare)
                self._prepare = None
            engine.start()
        except BaseException:
            engine.close(0.0)
            raise
        return engine

    def _publish(self, engine: Engine) -> None:
        with self._lock:
            closed = self._closed
            if not closed:
                self._engine = engine
                self._opening_error = ""
                self._ready.set()
        if closed:
            engine.close(0.0)

    def _failed_to_open(self, error: Exception) -> None:
        text = one_line(error)
        if text != self._opening_error:
            log.warning("the database could not be opened, trying again: %s", text)
        self._opening_error = text
