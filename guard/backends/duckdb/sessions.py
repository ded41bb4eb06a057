"""A cursor for the length of one unit of work."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import duckdb

from guard.backends.duckdb.errors import is_database_error, judge, translate
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendClosed, BackendError, ResultTooLarge, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guard.backends.base import Row
    from guard.backends.duckdb.statements import Statements
    from guard.clock import Clock
    from guard.events import PoolObserver

T = TypeVar("T")

_TOLERANCE: Final = 0.9
_LATE_S: Final = 0.1
"""A statement may end so much late, if that spares a change of the time-out."""
_BEGIN: Final = {Lane.READ: "BEGIN TRANSACTION READ ONLY", Lane.WRITE: "BEGIN TRANSACTION"}


class Handle:
    """One cursor, used by one thread at a time, and the time-out that it was last given.

    Attributes:
        cursor: the engine's cursor, which is a connection of its own.
        timeout_s: the statement time-out in force; infinite where there is none.
    """

    __slots__ = ("__weakref__", "cursor", "timeout_s")

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor
        self.timeout_s = math.inf

    def set_timeout(self, wanted_s: float) -> None:
        """Put a statement time-out in force, unless one close to it is; costs about 80 us."""
        have_s = self.timeout_s
        if wanted_s == have_s or (
            _TOLERANCE * wanted_s <= have_s <= min(wanted_s / _TOLERANCE, wanted_s + _LATE_S)
        ):
            return
        # 0 means none.
        wanted_ms = 0 if math.isinf(wanted_s) else max(1, math.ceil(wanted_s * 1000))
        self.cursor.execute(f"SET max_execution_time = {wanted_ms}")
        self.timeout_s = wanted_s

    def begin(self, lane: Lane) -> None:
        """Start a transaction."""
        self.cursor.execute(_BEGIN[lane])

    def commit(self) -> None:
        """Commit; returns only when the transaction is durable."""
        self.cursor.execute("COMMIT")

    def rollback(self) -> bool:
        """Undo the transaction; return whether there was one that could be undone."""
        try:
            self.cursor.execute("ROLLBACK")
        except duckdb.Error:
            return False
        return True


class Committing:
    """Whether the writer is where it must not be interrupted. Thread-safe."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lock = Lock()
        self._now = False

    def __enter__(self) -> None:
        with self._lock:
            self._now = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now = False

    def interrupt(self) -> None:
        """Cut the writer's statement, unless it commits."""
        # The driver is called under the lock here, against the rule: only so can no COMMIT
        # begin between the look and the call. It sets a flag and returns.
        with self._lock:
            if not self._now:
                self._handle.cursor.interrupt()


class Limits(NamedTuple):
    """What bounds a session's statements.

    Attributes:
        deadline_s: when the unit must be done, in the clock's time.
        timeout_s: longest time for one statement.
        rows_max: most rows at once.
    """

    deadline_s: float
    timeout_s: float
    rows_max: int


class Tools(NamedTuple):
    """What every session of a backend works with."""

    statements: Statements
    observer: PoolObserver
    clock: Clock


class DuckDBSession:
    """Implements ``Session`` and ``StreamSession``. Not thread-safe; useless after the unit.

    Attributes:
        error: the first error of a statement; the transaction can't be committed after one.
    """

    def __init__(self, lane: Lane, handle: Handle, limits: Limits, tools: Tools) -> None:
        self._lane = lane
        self._handle = handle
        self._limits = limits
        self._statements, self._observer, self._clock = tools
        self._ended = False
        self._runs = 0
        self.error: BaseException | None = None

    def execute(
        self,
        sql: str,
        params: Sequence[object] = (),
        *,
        prepare: bool = True,  # noqa: ARG002 -- this planner always sees the values
    ) -> list[Row]:
        """Run one statement and return all its rows; see ``Session.execute``.

        On a write session a statement that would end the transaction, or change the writer's
        connection for later units, is refused with ``BackendError``.
        """
        return self._measured(lambda: self._answer(sql, params))

    def rows(self, sql: str, params: Sequence[object] = (), *, chunk: int = 1000) -> Iterator[Row]:
        """Yield a query's rows, ``chunk`` (>= 1) fetched at a time; see ``StreamSession.rows``.

        The rows end with an error where the session runs another statement in between.
        """

        def start() -> duckdb.DuckDBPyConnection:
            return self._run(sql, params)[0]

        cursor = self._measured(start)
        return self._fetched(cursor, chunk, self._runs)

    def _fetched(self, cursor: duckdb.DuckDBPyConnection, chunk: int, run: int) -> Iterator[Row]:
        def fetch() -> list[Row]:
            # The cursor has one result: the rows would be those of the other statement.
            if self._runs != run:
                raise BackendError("the session ran another statement; its rows are gone")
            found: list[Row] = cursor.fetchmany(chunk)
            return found

        while rows := self._measured(fetch):
            yield from rows

    def begin(self) -> None:
        """Start the unit's transaction."""
        self._translated(lambda: self._handle.begin(self._lane))

    def check(self) -> None:
        """Raise the first error that a statement had.

        The unit may have swallowed it, but the transaction is lost all the same: a COMMIT would
        answer with success and save nothing.
        """
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """Make the session useless."""
        self._ended = True

    def _measured(self, act: Callable[[], T]) -> T:
        if self._ended:
            raise BackendClosed("the session is over: its unit has ended")
        started_s = self._clock.now_s()
        outcome = Outcome.OK
        try:
            return self._translated(act)
        except Exception as error:
            outcome = judge(error).outcome
            raise
        finally:
            self._observer.queried(self._lane, self._clock.now_s() - started_s, outcome)

    def _translated(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Exception as error:
            found = translate(error, self._lane)
            self.error = self.error or found
            # A write's error is told once its unit has failed for good: it may be run again.
            if self._lane is Lane.READ and is_database_error(found):
                self._observer.failed(self._lane, judge(error).kind)
            if found is error:
                raise
            raise found from error

    def _answer(self, sql: str, params: Sequence[object]) -> list[Row]:
        cursor, answers = self._run(sql, params)
        rows: list[Row] = cursor.fetchmany(self._limits.rows_max + 1)
        if not answers:
            return []
        if len(rows) > self._limits.rows_max:
            raise ResultTooLarge(f"more than {self._limits.rows_max} rows")
        return rows

    def _run(self, sql: str, params: Sequence[object]) -> tuple[duckdb.DuckDBPyConnection, bool]:
        parsed = self._statements.find(self._handle.cursor, sql, self._lane)
        left_s = self._limits.deadline_s - self._clock.now_s()
        if left_s <= 0:
            raise StatementTimeout("the unit's time is over")
        self._handle.set_timeout(min(self._limits.timeout_s, left_s))
        self._runs += 1
        return self._handle.cursor.execute(parsed.statement, params), parsed.answers
