"""What an error says: about the database's health, about its kind, and to the caller.

DuckDB has no error codes, so its exceptions' types are asked first, and the message where one
type means several things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from guard.backends.verdict import (
    CONFLICT,
    CONSTRAINT,
    NOT_OURS,
    OURS,
    READ_ONLY,
    RESOURCES,
    SICK,
    STATEMENT,
    TIMEOUT,
    UNREACHABLE,
    Row,
    Verdict,
)
from guard.core.group_commit import likeliest
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendError,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.backends.base import Insert
    from guard.backends.base import Row as Values


class TypeRow(NamedTuple):
    """One row of the table of errors by their type.

    Attributes:
        error: the type.
        verdict: what it says.
        meaning: what has happened, for people.
    """

    error: type[BaseException]
    verdict: Verdict
    meaning: str


TYPES: Final = (
    TypeRow(duckdb.HTTPException, STATEMENT, "a file from the network could not be had"),
    TypeRow(duckdb.ConnectionException, UNREACHABLE, "the connection is closed or invalid"),
    TypeRow(duckdb.OutOfMemoryException, RESOURCES, "the memory limit is reached"),
    TypeRow(duckdb.FatalException, SICK, "the engine has given up; the file is opened anew"),
    TypeRow(duckdb.InternalException, SICK, "an error inside the engine"),
    TypeRow(duckdb.InterruptException, TIMEOUT, "statement time-out, or interrupted"),
    TypeRow(duckdb.ConstraintException, CONSTRAINT, "a constraint is broken"),
    TypeRow(duckdb.ResourceInUseException, CONFLICT, "what it needs is in use"),
    TypeRow(duckdb.Error, STATEMENT, "all else: syntax, conversion, missing tables, permissions"),
)
"""The first that fits; a class must stand before its bases."""

TRANSACTION: Final = (
    Row("read-only mode", READ_ONLY, "a write in a read-only transaction"),
    Row("constraint violation", CONSTRAINT, "a constraint is broken at the commit"),
    Row("onflict", CONFLICT, "another transaction was faster"),
    Row("is aborted", STATEMENT, "a statement after a failed one"),
    Row("Failed to commit", RESOURCES, "the log could not be written: disk full"),
    Row("", NOT_OURS, "any other TransactionException"),
)
"""Of a ``TransactionException``; the first part that its message has."""
FILE: Final = (
    Row("Could not write", RESOURCES, "disk full, or a file that may not grow"),
    Row("No space left", RESOURCES, "disk full"),
    Row("", UNREACHABLE, "the file can't be opened or read, or another process has it"),
)
"""Of an ``IOException``; the same."""

_BY_TYPE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    *OURS,
    (BackendError, STATEMENT),
    *((row.error, row.verdict) for row in TYPES),
)


def judge(error: BaseException) -> Verdict:
    """Return what ``error`` says; an exception of the application's own says nothing."""
    if isinstance(error, BackendFailed):
        cause = error.__cause__
        kind = judge(cause).kind if isinstance(cause, duckdb.Error) else "unreachable"
        return Verdict(Outcome.FAILURE, kind)
    if isinstance(error, duckdb.TransactionException):
        return _by_message(TRANSACTION, error)
    if isinstance(error, duckdb.IOException) and not isinstance(error, duckdb.HTTPException):
        return _by_message(FILE, error)
    return next((verdict for kind, verdict in _BY_TYPE if isinstance(error, kind)), NOT_OURS)


def _by_message(rows: Sequence[Row], error: duckdb.Error) -> Verdict:
    text = str(error)
    return next(row.verdict for row in rows if row.sign in text)


def translate(error: BaseException, lane: Lane) -> BaseException:
    """Return what the caller should get for an error: a ``BackendError``, or the error itself."""
    if not isinstance(error, duckdb.Error):
        return error
    verdict = judge(error)
    if verdict is TIMEOUT:
        return StatementTimeout(one_line(error))
    if verdict is READ_ONLY and lane is Lane.READ:
        return ReadOnlyViolation(one_line(error))
    return BackendFailed(one_line(error)) if verdict.outcome is Outcome.FAILURE else error


def of_insert(error: BaseException) -> BaseException:
    """Return what the caller of an insert should get for its row's error."""
    if isinstance(error, duckdb.Error) and judge(error) is CONSTRAINT:
        return ConstraintViolation(one_line(error))
    return error


def is_fatal(error: BaseException) -> bool:
    """Whether the engine has given up; the file must be opened anew."""
    cause = error.__cause__ if isinstance(error, BackendFailed) else error
    return isinstance(cause, duckdb.FatalException)


def is_database_error(error: BaseException) -> bool:
    """Whether an error is the database's or the backend's, not the application's own."""
    return isinstance(error, (duckdb.Error, BackendError))


def suspected(error: BaseException, insert: Insert, rows: Sequence[Values]) -> frozenset[int]:
    """Return the rows that a constraint's message points at; a hint only, and may be none.

    Messages name the key as ``"column: value, column: value"`` or as ``"value"``, and for NOT
    NULL the column.
    """
    message = one_line(error)
    if message.startswith("Constraint Error: NOT NULL"):
        column = message.rpartition(".")[2].strip('"')
        if column not in insert.columns:
            return frozenset()
        place = insert.columns.index(column)
        return likeliest([int(row[place] is None) for row in rows])
    key = message.partition('"')[2].rpartition('"')[0]
    if not key:
        return frozenset()
    return likeliest([_named(key, insert.columns, row) for row in rows])


def _named(key: str, columns: tuple[str, ...], row: Values) -> int:
    pairs = zip(columns, row, strict=True)
    return sum(f"{column}: {value}" in key or str(value) == key for column, value in pairs)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
