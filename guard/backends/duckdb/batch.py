"""Runs one batch of units: executes, commits, and after an error does anew what was undone.

Rules that this keeps:

* A unit has its outcome only after COMMIT returned, or after a ROLLBACK.
* After any exception inside a transaction it is rolled back: a COMMIT would answer with
  success and save nothing.
* A unit is run again only if nothing of its earlier run was kept.
* Where COMMIT itself raises, the answer of ROLLBACK tells only one thing: if there still was a
  transaction, nothing was kept. "No transaction is active" follows a commit that was made as
  well as one that failed (a full disk), so then a row is looked up by its key.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from guard.backends.duckdb import inserts
from guard.backends.duckdb.errors import (
    is_fatal,
    judge,
    of_insert,
    one_line,
    suspected,
    translate,
)
from guard.backends.duckdb.queue import RowInsert, Unit, Work
from guard.backends.duckdb.sessions import DuckDBSession, Limits
from guard.core.group_commit import after_failure, alone, planned
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendFailed, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.backends.duckdb.queue import WriteQueue
    from guard.backends.duckdb.sessions import Committing, Handle, Tools
    from guard.core.group_commit import Step, Transaction

LONG_S: Final = 0.05
"""A transaction that has run for so long is committed before another unit is started."""


class WriterLimits(NamedTuple):
    """What bounds the writer: the longest statement, the most rows at once, the most units."""

    statement_timeout_s: float
    result_rows_max: int
    batch_max: int


class _Failed(Exception):  # noqa: N818 -- it carries one, and never leaves this module
    """A step of a transaction raised; the transaction has been undone."""

    def __init__(self, transaction: Transaction, at: int, error: BaseException) -> None:
        super().__init__()
        self.transaction = transaction
        self.at = at
        self.error = error


class Batch:
    """One batch on the writer's cursor; for the writer thread only.

    Args:
        handle: the writer's cursor.
        queue: where the units came from.
        committing: entered around each COMMIT.
        limits: bounds.
        tools: parsed statements, observer, clock.
    """

    def __init__(
        self,
        handle: Handle,
        queue: WriteQueue,
        committing: Committing,
        limits: WriterLimits,
        tools: Tools,
    ) -> None:
        self._handle = handle
        self._queue = queue
        self._committing = committing
        self._limits = limits
        self._tools = tools
        self._units: Sequence[Unit] = ()
        self._pending: deque[Transaction] = deque()
        self._failures = 0
        self._fatal: BaseException | None = None

    def run(self, units: Sequence[Unit]) -> BaseException | None:
        """Give every unit its outcome; return the error after which the engine is of no use."""
        self._units = units
        self._pending = deque(planned([unit.key for unit in units]))
        self._failures = 0
        self._fatal = None
        while self._pending:
            transaction = self._pending.popleft()
            try:
                self._attempt(transaction)
            except _Failed as failed:
                self._failures += 1
                if _is_hopeless(failed.error):
                    self._fail_each(units, failed.error, one_line(failed.error))
                    return failed.error if is_fatal(failed.error) else None
                self._plan_anew(failed)
        return self._fatal

    def _attempt(self, transaction: Transaction) -> None:
        started_s = self._tools.clock.now_s()
        done: list[Step] = []
        results: dict[int, object] = {}
        for place, step in enumerate(transaction):
            if done and self._tools.clock.now_s() - started_s > LONG_S:
                self._pending.appendleft(transaction[place:])
                break
            live = self._claimed(step)
            if not live:
                continue
            after = transaction[place + 1 :]
            if not done and not after and self._insert_alone(live):
                return
            try:
                if not done:
                    self._handle.begin(Lane.WRITE)
                self._execute(live, results)
            except BaseException as error:
                self._handle.rollback()
                raise _Failed((*done, live, *after), len(done), error) from error
            done.append(live)
        if done:
            self._commit(tuple(done), results)

    def _claimed(self, step: Step) -> Step:
        live = set(self._queue.claim([self._units[place] for place in step]))
        return tuple(place for place in step if self._units[place] in live)

    def _insert_alone(self, live: Step) -> bool:
        """Insert a lone row without BEGIN and COMMIT, which spares a fifth of its time."""
        unit = self._units[live[0]]
        if len(live) > 1 or not isinstance(unit, RowInsert):
            return False
        try:
            with self._committing:
                self._statement(inserts.single_sql(unit.insert), unit.row)
        except BaseException as error:
            if judge(error).outcome is Outcome.OK:
                # The row's own fault; the statement was undone by itself.
                raise _Failed((live,), 0, error) from error
            self._after_lost_commit((live,), {}, error)
        else:
            self._finish((live,), {})
        return True

    def _execute(self, live: Step, results: dict[int, object]) -> None:
        rows = []
        for place in live:
            unit = self._units[place]
            if isinstance(unit, RowInsert):
                rows.append((unit.insert, unit.row))
            else:
                results[place] = self._call(unit)
        if len(rows) == 1:
            self._statement(inserts.single_sql(rows[0][0]), rows[0][1])
        elif rows:
            values = inserts.columns_of([row for _, row in rows])
            self._statement(inserts.merged_sql(rows[0][0]), values)

    def _call(self, unit: Work) -> object:
        limits = Limits(
            min(unit.taken_s + unit.bounds.run_s, unit.queued_s + unit.bounds.within_s),
            self._limits.statement_timeout_s,
            self._limits.result_rows_max,
        )
        session = DuckDBSession(Lane.WRITE, self._handle, limits, self._tools)
        try:
            result = unit.run(session)
        finally:
            session.end()
        session.check()
        return result

    def _statement(self, sql: str, params: Sequence[object]) -> None:
        cursor = self._handle.cursor
        parsed = self._tools.statements.find(cursor, sql, Lane.WRITE)
        self._handle.set_timeout(self._limits.statement_timeout_s)
        self._timed(lambda: cursor.execute(parsed.statement, params))

    def _timed(self, act: Callable[[], object]) -> None:
        started_s = self._tools.clock.now_s()
        outcome = Outcome.OK
        try:
            act()
        except BaseException as error:
            outcome = judge(error).outcome
            raise
        finally:
            took_s = self._tools.clock.now_s() - started_s
            self._tools.observer.queried(Lane.WRITE, took_s, outcome)

    def _commit(self, transaction: Transaction, results: dict[int, object]) -> None:
        try:
            with self._committing:
                self._timed(self._handle.commit)
        except BaseException as error:  # noqa: BLE001 -- each unit gets it
            self._after_lost_commit(transaction, results, error)
        else:
            self._finish(transaction, results)

    def _finish(self, transaction: Transaction, results: dict[int, object]) -> None:
        places = [place for step in transaction for place in step]
        for place in places:
            self._queue.finish(self._units[place], results.get(place))
        self._tools.observer.batched(len(places))

    def _after_lost_commit(
        self, transaction: Transaction, results: dict[int, object], error: BaseException
    ) -> None:
        units = [self._units[place] for step in transaction for place in step]
        rows = [(unit.insert, unit.row) for unit in units if isinstance(unit, RowInsert)]
        undone = self._handle.rollback()
        stored = False if undone else inserts.is_stored(self._handle.cursor, rows)
        if stored:
            self._finish(transaction, results)
        elif stored is None:
            text = f"whether the write took effect is unknown: {one_line(error)}"
            self._fail_each(units, error, text)
        elif len(units) > 1 and not _is_hopeless(error):
            self._pending.extendleft(reversed(alone(transaction)))
        else:
            for unit in units:
                self._fail(unit, error)
        if is_fatal(error):
            self._fatal = error

    def _plan_anew(self, failed: _Failed) -> None:
        error, transaction = failed.error, failed.transaction
        step = transaction[failed.at]
        if isinstance(error, StatementTimeout) and len(step) == 1:
            # Its time is over, so to try it alone would tell nothing new.
            transaction, at = (step, *_without(transaction, failed.at)), 0
        else:
            at = failed.at
        verdict = after_failure(transaction, at, self._suspects(step, error), self._failures)
        if verdict.failed is not None:
            self._fail(self._units[verdict.failed], error)
        self._pending.extendleft(reversed(verdict.transactions))

    def _suspects(self, step: Step, error: BaseException) -> frozenset[int]:
        first = self._units[step[0]]
        if len(step) == 1 or not isinstance(first, RowInsert):
            return frozenset()
        units = [self._units[place] for place in step]
        rows = [unit.row for unit in units if isinstance(unit, RowInsert)]
        return frozenset(step[place] for place in suspected(error, first.insert, rows))

    def _fail(self, unit: Unit, error: BaseException) -> None:
        found = translate(error, Lane.WRITE)
        if isinstance(unit, RowInsert):
            found = of_insert(found)
        if found is not error:
            found.__cause__ = error
        self._queue.finish(unit, error=found)

    def _fail_each(self, units: Sequence[Unit], error: BaseException, text: str) -> None:
        cause = error.__cause__ if isinstance(error, BackendFailed) else error
        for unit in units:
            # One exception for each caller: a shared one would mix up their tracebacks.
            own = BackendFailed(text)
            own.__cause__ = cause
            self._queue.finish(unit, error=own)


def _without(transaction: Transaction, place: int) -> Transaction:
    return transaction[:place] + transaction[place + 1 :]


def _is_hopeless(error: BaseException) -> bool:
    """Whether the other units would fail in the same way."""
    cause = error.__cause__ if isinstance(error, BackendFailed) else error
    if not isinstance(cause, duckdb.Error) or isinstance(cause, duckdb.OutOfMemoryException):
        return False
    return judge(cause).outcome is Outcome.FAILURE
