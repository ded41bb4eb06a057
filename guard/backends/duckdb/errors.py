"""What an error says: about the database's health, about its kind, and to the caller.

DuckDB has no error codes, so its exceptions' types are asked first, and the message where one
type means several things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from guard.core.group_commit import likeliest
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    ResultTooLarge,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.backends.base import Insert, Row


class Verdict(NamedTuple):
    """What an error says.

    Attributes:
        outcome: about the database's health.
        kind: one of ``guard.metrics.ERROR_KINDS``.
    """

    outcome: Outcome
    kind: str


_UNREACHABLE: Final = Verdict(Outcome.FAILURE, "unreachable")
_RESOURCES: Final = Verdict(Outcome.FAILURE, "resources")
_SICK: Final = Verdict(Outcome.FAILURE, "internal")
_CONFLICT: Final = Verdict(Outcome.NEUTRAL, "conflict")
_TIMEOUT: Final = Verdict(Outcome.NEUTRAL, "timeout")
_BUSY: Final = Verdict(Outcome.NEUTRAL, "busy")
_NOT_OURS: Final = Verdict(Outcome.NEUTRAL, "internal")
_STATEMENT: Final = Verdict(Outcome.OK, "statement")
_CONSTRAINT: Final = Verdict(Outcome.OK, "constraint")
_READ_ONLY: Final = Verdict(Outcome.OK, "read_only")

# The first that fits; a class must stand before its bases.
_BY_TYPE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    (BackendBusy, _BUSY),
    (BackendClosed, _BUSY),
    (StatementTimeout, _TIMEOUT),
    (ReadOnlyViolation, _READ_ONLY),
    (ConstraintViolation, _CONSTRAINT),
    (ResultTooLarge, _STATEMENT),
    (BackendError, _STATEMENT),
    (duckdb.HTTPException, _STATEMENT),
    (duckdb.ConnectionException, _UNREACHABLE),
    (duckdb.OutOfMemoryException, _RESOURCES),
    (duckdb.FatalException, _SICK),
    (duckdb.InternalException, _SICK),
    (duckdb.InterruptException, _TIMEOUT),
    (duckdb.ConstraintException, _CONSTRAINT),
    (duckdb.ResourceInUseException, _CONFLICT),
    (duckdb.Error, _STATEMENT),
)

# Of a transaction's or a file's error; the first part that is found in the message.
_BY_MESSAGE: Final[tuple[tuple[type[duckdb.Error], str, Verdict], ...]] = (
    (duckdb.TransactionException, "read-only mode", _READ_ONLY),
    (duckdb.TransactionException, "constraint violation", _CONSTRAINT),
    (duckdb.TransactionException, "onflict", _CONFLICT),
    (duckdb.TransactionException, "is aborted", _STATEMENT),
    (duckdb.TransactionException, "Failed to commit", _RESOURCES),
    (duckdb.TransactionException, "", _NOT_OURS),
    (duckdb.IOException, "Could not write", _RESOURCES),
    (duckdb.IOException, "No space left", _RESOURCES),
    (duckdb.IOException, "", _UNREACHABLE),
)


def judge(error: BaseException) -> Verdict:
    """Return what ``error`` says; an exception of the application's own says nothing."""
    if isinstance(error, BackendFailed):
        cause = error.__cause__
        kind = judge(cause).kind if isinstance(cause, duckdb.Error) else "unreachable"
        return Verdict(Outcome.FAILURE, kind)
    if isinstance(error, (duckdb.TransactionException, duckdb.IOException)) and not isinstance(
        error, duckdb.HTTPException
    ):
        return next(
            verdict
            for kind_of_error, part, verdict in _BY_MESSAGE
            if isinstance(error, kind_of_error) and part in str(error)
        )
    return next(
        (verdict for kind_of_any, verdict in _BY_TYPE if isinstance(error, kind_of_any)), _NOT_OURS
    )


def translate(error: BaseException, lane: Lane) -> BaseException:
    """Return what the caller should get for an error: a ``BackendError``, or the error itself."""
    if not isinstance(error, duckdb.Error):
        return error
    verdict = judge(error)
    if verdict is _TIMEOUT:
        return StatementTimeout(one_line(error))
    if verdict is _READ_ONLY and lane is Lane.READ:
        return ReadOnlyViolation(one_line(error))
    return BackendFailed(one_line(error)) if verdict.outcome is Outcome.FAILURE else error


def of_insert(error: BaseException) -> BaseException:
    """Return what the caller of an insert should get for its row's error."""
    if isinstance(error, duckdb.Error) and judge(error) is _CONSTRAINT:
        return ConstraintViolation(one_line(error))
    return error


def is_fatal(error: BaseException) -> bool:
    """Whether the engine has given up; the file must be opened anew."""
    cause = error.__cause__ if isinstance(error, BackendFailed) else error
    return isinstance(cause, duckdb.FatalException)


def is_database_error(error: BaseException) -> bool:
    """Whether an error is the database's or the backend's, not the application's own."""
    return isinstance(error, (duckdb.Error, BackendError))


def suspected(error: BaseException, insert: Insert, rows: Sequence[Row]) -> frozenset[int]:
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


def _named(key: str, columns: tuple[str, ...], row: Row) -> int:
    pairs = zip(columns, row, strict=True)
    return sum(f"{column}: {value}" in key or str(value) == key for column, value in pairs)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
