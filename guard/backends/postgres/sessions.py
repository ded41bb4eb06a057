"""A connection for the length of one unit."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import Identifier

from guard.backends.postgres.config import milliseconds
from guard.backends.postgres.errors import RETRYABLE, judge, one_line, translate
from guard.backends.postgres.hosts import POSITION
from guard.core.replicas import end_of_log
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendClosed,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    ResultTooLarge,
    StatementTimeout,
)
from guard.request import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.backends.base import Insert, Row
    from guard.backends.postgres.connection import PooledConnection
    from guard.backends.postgres.watchdog import Watch
    from guard.clock import Clock
    from guard.events import PoolObserver

_TOLERANCE: Final = 0.9
_LATE_S: Final = 0.1
"""A statement may end so much late, if that spares a round trip to change the time-out."""
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*([a-z]+)", re.IGNORECASE | re.DOTALL)
_QUERIES: Final = frozenset({"select", "with", "values", "table", "show", "explain"})
_READ_ONLY: Final = b"default_transaction_read_only"
# The server's own name for where it refuses a cursor over a query that writes or locks.
_DECLARE: Final = "transformDeclareCursorStmt"


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


class PostgresSession:
    """Implements ``Session`` and ``StreamSession``. Not thread-safe; useless after the unit.

    On the read lane only queries are let through, and each runs in a read-only transaction.
    That keeps a programmer from mistakes; the one hard wall is a role that may only SELECT.

    Attributes:
        fenced: whether the server refused a write because it takes none.
    """

    def __init__(
        self,
        lane: Lane,
        held: PooledConnection,
        watch: Watch,
        limits: Limits,
        observer: PoolObserver,
        clock: Clock,
    ) -> None:
        self._lane = lane
        self._held = held
        self._watch = watch
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._ended = False
        self._cursors = 0
        self._timeout_s = held.timeout_s
        self._error: Exception | None = None
        self.fenced = False

    def execute(
        self, sql: str, params: Sequence[object] = (), *, prepare: bool = True
    ) -> list[Row]:
        """Run one statement and return all its rows; see ``Session.execute``."""
        self._check_usable()
        if self._lane is Lane.READ and not _is_query(sql):
            raise self._refusal("only queries can run on a read connection")
        return self._measured(sql, params, prepare=prepare)

    def rows(self, sql: str, params: Sequence[object] = (), *, chunk: int = 1000) -> Iterator[Row]:
        """Yield a query's rows, ``chunk`` (>= 1) fetched at a time; see ``StreamSession.rows``."""
        self._check_usable()
        if not _is_query(sql):
            raise self._refusal("only queries can be streamed")
        self._cursors += 1
        name = f"guard_{self._cursors}"
        self._measured(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", params, prepare=False)
        return self._fetched(f"FETCH FORWARD {int(chunk)} FROM {name}", f"CLOSE {name}")

    def _fetched(self, fetch: str, close: str) -> Iterator[Row]:
        while True:
            self._check_usable()
            rows = self._measured(fetch, (), prepare=False, capped=False)
            if not rows:
                self._measured(close, (), prepare=False)
                return
            yield from rows

    def insert(self, sql: str, row: Row) -> None:
        """Insert one row and commit it; a lost race is run once more."""
        try:
            try:
                self._measured(sql, row, prepare=True)
            except psycopg.Error as error:
                if error.sqlstate not in RETRYABLE:
                    raise
                self._measured(sql, row, prepare=True)
        except psycopg.Error as error:
            if judge(error).kind == "constraint":
                raise ConstraintViolation(one_line(error)) from error
            raise
        except BackendFailed as error:
            raise self._lost(error) from error.__cause__

    def begin(self, *, read_only: bool = False) -> None:
        """Start a transaction."""
        self._command("BEGIN READ ONLY" if read_only else "BEGIN")

    def commit(self) -> None:
        """Commit; returns only when the transaction is durable.

        Raises:
            BackendFailed: the answer was lost, so the outcome is unknown.
            BackendError: the transaction had failed or ended before; nothing was committed now.
        """
        status = self._held.pgconn.transaction_status
        if status in (TransactionStatus.INERROR, TransactionStatus.UNKNOWN):
            # The server would answer such a COMMIT with success, having kept nothing.
            raise self._error or BackendError("a statement of the transaction had failed")
        if status == TransactionStatus.IDLE:
            raise BackendError("the unit ended its own transaction")
        if self._limits.deadline_s <= self._clock.now_s():
            raise StatementTimeout("no time was left to commit; nothing was kept")
        try:
            self._command("COMMIT")
        except BackendFailed as error:
            raise self._lost(error) from error.__cause__

    def end(self) -> None:
        """Roll back what is open and make the session useless; call it with the watch armed."""
        self._ended = True
        self._roll_back()

    def _roll_back(self) -> None:
        status = self._held.pgconn.transaction_status
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self._held.execute("ROLLBACK", prepare=False)
            except psycopg.Error:
                self._held.close()

    @property
    def place(self) -> str:
        """The server that it is on, where there are several."""
        return self._held.place

    def position(self) -> int:
        """Return how much of the log the server has; ``UNKNOWN`` where it does not say.

        Call it outside of a transaction: after a write it covers that.
        """
        try:
            row = self._held.execute(POSITION).fetchone()
        except psycopg.Error:
            return UNKNOWN
        return UNKNOWN if row is None else end_of_log(row[0])

    @property
    def dirty(self) -> bool:
        """Whether the connection can't be used by others: lost, busy, or its wall was moved."""
        pgconn = self._held.pgconn
        if pgconn.transaction_status != TransactionStatus.IDLE:
            return True
        if isinstance(self._error, psycopg.errors.FeatureNotSupported):
            return True  # it may hold plans from before a change of the schema
        return self._lane is Lane.READ and self._wall() == b"off"

    def _check_usable(self) -> None:
        if self._ended:
            raise BackendClosed("the session is over: its unit has ended")
        if self._lane is Lane.READ and self._wall() == b"off":
            raise self._refusal("the session was made writable")

    def _wall(self) -> bytes | None:
        # The server tells each change of this setting, so looking at it asks nobody.
        return self._held.pgconn.parameter_status(_READ_ONLY)

    def _measured(
        self, sql: str, params: Sequence[object], *, prepare: bool, capped: bool = True
    ) -> list[Row]:
        started_s = self._clock.now_s()
        outcome = Outcome.OK
        try:
            return self._answer(sql, params, prepare=prepare, capped=capped)
        except (psycopg.Error, BackendError) as error:
            outcome, kind = judge(error)
            self._observer.failed(self._lane, kind)
            self._error = error
            raise
        finally:
            self._observer.queried(self._lane, self._clock.now_s() - started_s, outcome)

    def _answer(
        self, sql: str, params: Sequence[object], *, prepare: bool, capped: bool
    ) -> list[Row]:
        try:
            self._arm_timeout()
            cursor = self._send(sql, params, prepare=prepare)
            if cursor.rownumber is None:  # it gave no rows; `description` costs 10 us
                return []
            if capped and cursor.rowcount > self._limits.rows_max:
                raise ResultTooLarge(f"{cursor.rowcount} rows; allowed: {self._limits.rows_max}")
            return cursor.fetchall()
        except psycopg.Error as error:
            translated = self._translated(error)
            if translated is None:
                raise
            raise translated from error

    def _send(self, sql: str, params: Sequence[object], *, prepare: bool) -> psycopg.Cursor[Row]:
        if params or self._lane is Lane.WRITE:
            return self._held.execute(sql, params or None, prepare=None if prepare else False)
        # Without parameters the driver takes the protocol that allows several statements in
        # one string, unless the statement is prepared or goes through a pipeline.
        if prepare:
            return self._held.execute(sql, prepare=True)
        with self._held.pipeline():
            return self._held.execute(sql, prepare=False)

    def _command(self, sql: str) -> None:
        try:
            self._held.execute(sql, prepare=False)
        except psycopg.Error as error:
            self._observer.failed(self._lane, judge(error).kind)
            translated = self._translated(error)
            if translated is None:
                raise
            raise translated from error

    def _translated(self, error: psycopg.Error) -> BackendError | None:
        if self._watch.cut:
            return BackendFailed("no answer in time; the connection was cut")
        if self._lane is Lane.WRITE and judge(error).kind == "read_only":
            self.fenced = True
        if error.diag.source_function == _DECLARE:
            return ReadOnlyViolation(one_line(error))
        return translate(error, self._lane)

    def _refusal(self, text: str) -> ReadOnlyViolation:
        self._observer.failed(self._lane, "read_only")
        self._error = ReadOnlyViolation(text)
        return self._error

    def _lost(self, error: BackendFailed) -> BackendFailed:
        if not self._held.closed and not self._watch.cut:
            return error
        return BackendFailed(f"whether the write took effect is unknown: {error}")

    def _arm_timeout(self) -> None:
        """Give the server this statement's time-out, where it differs much from what it has."""
        wanted_s = self._wanted_s()
        status = self._held.pgconn.transaction_status
        most_s = min(wanted_s / _TOLERANCE, wanted_s + _LATE_S)
        fits = _TOLERANCE * wanted_s <= self._timeout_s <= most_s
        if fits or status == TransactionStatus.INERROR:
            return
        scope = "LOCAL" if status == TransactionStatus.INTRANS else "SESSION"
        text = f"SET {scope} statement_timeout = {milliseconds(wanted_s)}"
        self._held.execute(text)
        self._timeout_s = wanted_s
        if scope == "SESSION":
            self._held.timeout_s = wanted_s

    def _wanted_s(self) -> float:
        left_s = self._limits.deadline_s - self._clock.now_s()
        if left_s <= 0:
            raise StatementTimeout("the unit's time is over")
        return min(self._limits.timeout_s, left_s)


@lru_cache(maxsize=1024)
def _is_query(sql: str) -> bool:
    found = _FIRST_WORD.match(sql)
    return found is not None and found.group(1).lower() in _QUERIES


@lru_cache(maxsize=1024)
def insert_sql(insert: Insert) -> str:
    """Return the statement for a row of this shape, its names quoted."""
    table, *columns = (_quoted(name) for name in (insert.table, *insert.columns))
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 -- quoted


def _quoted(name: str) -> str:
    # The percent sign is the driver's own in a statement with parameters.
    return Identifier(name).as_string(None).replace("%", "%%")
