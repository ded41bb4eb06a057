"""The one writer: a thread that commits together what waits, and the callers' side of it.

A row that comes while nothing waits and nothing runs is committed by its caller's own thread.
"""

from __future__ import annotations

import logging
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Final

from guard.backends.duckdb.batch import Batch
from guard.backends.duckdb.errors import is_database_error, judge
from guard.backends.duckdb.queue import RowInsert, State, WriteQueue, busy
from guard.backends.duckdb.sessions import Committing
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendClosed, BackendError, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.duckdb.batch import WriterLimits
    from guard.backends.duckdb.queue import Unit
    from guard.backends.duckdb.sessions import Handle, Tools

_LOOK_S: Final = 1.0
_JOIN_S: Final = 1.0

log = logging.getLogger("guard.duckdb")


class Writer:
    """Commits units in batches; no lingering: it takes what waits, at most ``batch_max``.

    Thread-safe after ``start``.

    Args:
        handle: a cursor that is the writer's alone.
        limits: bounds.
        tools: parsed statements, observer, clock.
        on_fatal: called from the writer's thread when the engine has given up.
    """

    def __init__(
        self,
        handle: Handle,
        limits: WriterLimits,
        tools: Tools,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._limits = limits
        self._tools = tools
        self._on_fatal = on_fatal
        self._queue = WriteQueue(tools.clock)
        self._handle = handle
        self._committing = Committing(handle)
        self._batch = Batch(handle, self._queue, self._committing, limits, tools)
        self._thread = Thread(target=self._run, name="guard-duckdb-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def busy(self) -> bool:
        """Whether a batch is being executed."""
        return self._queue.led

    @property
    def waiting(self) -> int:
        """Units of which nothing was executed yet."""
        return self._queue.waiting

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest of the ``waiting`` has waited, seconds; 0 without one."""
        return self._queue.oldest_wait_s

    def submit(self, unit: Unit) -> object:
        """Queue a unit, wait for its outcome, and return its result or raise its error.

        Raises:
            BackendBusy: not taken within its bound; nothing was executed.
            BackendClosed: the writer is closing.
            BackendError: called from within a unit of this writer.
            BackendFailed: the writer is gone.
        """
        if get_ident() == self._thread.ident:
            raise BackendError("a write can't wait for another one inside its own unit")
        # A general unit is the application's code: it never runs under a caller's lead, so
        # that a write inside of it is seen above.
        if self._queue.put(unit, may_lead=isinstance(unit, RowInsert)):
            self._lead([unit])
        self._wait(unit)
        self._tell(unit)
        if unit.state is State.GONE:
            raise busy(unit)
        error = unit.error
        if error is None:
            return unit.result
        unit.error = None
        try:
            raise error
        finally:
            # The error's traceback holds this frame: without this they keep each other alive.
            del error

    def _wait(self, unit: Unit) -> None:
        if unit.gate.acquire(timeout=max(0.0, unit.bounds.wait_s)):
            return
        if self._queue.give_up(unit):
            return
        # It was taken in time, so only its result ends the wait; statements are bounded.
        while not unit.gate.acquire(timeout=_LOOK_S):
            if not self._thread.is_alive():
                self._fail([unit], "the writer has died; whether the write took effect is unknown")

    def _tell(self, unit: Unit) -> None:
        observer = self._tools.observer
        got = unit.state is not State.GONE
        ended_s = unit.taken_s if got else self._tools.clock.now_s()
        waited_s = ended_s - unit.queued_s
        observer.acquired(Lane.WRITE, waited_s, got=got)
        observer.lock_waited(Lane.WRITE, waited_s)
        if not got:
            observer.failed(Lane.WRITE, "busy")
            return
        outcome = Outcome.OK
        if unit.error is not None:
            verdict = judge(unit.error)
            outcome = verdict.outcome
            if is_database_error(unit.error):
                observer.failed(Lane.WRITE, verdict.kind)
        observer.released(Lane.WRITE, unit.done_s - unit.taken_s, outcome)

    def close(self, timeout_s: float) -> bool:
        """Take no more units, finish those that wait; return whether the thread has ended.

        After ``timeout_s`` those that wait are refused and the running statement is cut,
        unless it commits.
        """
        self._queue.close()
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            for unit in self._queue.abandon():
                self._queue.finish(unit, error=BackendClosed("the database is closing"))
            self._committing.interrupt()
            self._thread.join(_JOIN_S)
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the thread's end, however long that takes."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        units: list[Unit] = []
        wanted = False
        try:
            while units := self._queue.take(self._limits.batch_max):
                self._lead(units)
            wanted = True
        finally:
            # Nobody may wait for a thread that has ended, for whatever reason.
            self._fail([*units, *self._queue.abandon()], "the writer has ended")
            if not wanted:
                self._on_fatal(BackendFailed("the writer has ended"))

    def _lead(self, units: list[Unit]) -> None:
        try:
            self._run_batch(units)
        finally:
            self._queue.end_lead()

    def _run_batch(self, units: list[Unit]) -> None:
        fatal: BaseException | None = None
        try:
            fatal = self._batch.run(units)
        except BaseException as error:
            # A fault of this program: the batch is lost, the thread is not.
            log.exception("the writer failed; its batch of %d is lost", len(units))
            self._handle.rollback()
            fatal = None if isinstance(error, Exception) else error
        finally:
            self._fail(units, "the writer failed; whether the write took effect is unknown")
        if fatal is not None:
            self._on_fatal(fatal)

    def _fail(self, units: list[Unit], text: str) -> None:
        for unit in units:
            self._queue.finish(unit, error=BackendFailed(text))
