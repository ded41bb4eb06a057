"""Rows of DuckDB's table of errors, provoked on a real file.

A full disk, a second process and an engine that gave up are in ``test_duckdb_faults`` and
``test_duckdb_failures``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pytest

from guard.backends.base import Bounds
from guard.backends.duckdb import errors
from guard.backends.duckdb.errors import judge
from guard.errors import BackendFailed, ReadOnlyViolation, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend_cases import Heard

    from guard.backends.duckdb import DuckDBBackend

    Act = Callable[[DuckDBBackend], object]
    Make = Callable[..., DuckDBBackend]

SLOW = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b"
# An aggregate's state can't go to the disk.
BIG = "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(1000000)"


def sql(text: str) -> Act:
    """Run a statement in a write unit."""
    return lambda backend: backend.write(lambda session: session.execute(text))


def beside(backend: DuckDBBackend) -> duckdb.DuckDBPyConnection:
    """Another connection of the engine: the backend's own writes never race."""
    engine = backend._engine
    assert engine is not None
    return engine._connection.cursor()


def lost_race(backend: DuckDBBackend) -> None:
    with beside(backend) as other:
        other.execute("BEGIN TRANSACTION")
        other.execute("UPDATE items SET name = 'other' WHERE id = 1")
        sql("UPDATE items SET name = 'own' WHERE id = 1")(backend)


def same_key_at_the_commit(backend: DuckDBBackend) -> None:
    with beside(backend) as one, beside(backend) as other:
        for each in (one, other):
            each.execute("BEGIN TRANSACTION")
            each.execute("INSERT INTO items VALUES (7, 'a')")
        one.execute("COMMIT")
        other.execute("COMMIT")


def after_a_failed_one(backend: DuckDBBackend) -> None:
    with beside(backend) as other:
        other.execute("BEGIN TRANSACTION")
        with pytest.raises(duckdb.ConstraintException):
            other.execute("INSERT INTO items VALUES (1, 'a')")
        other.execute("SELECT 1")


def inside_read_only(backend: DuckDBBackend) -> None:
    # The backend refuses it before the engine sees it; this is what stands behind.
    with beside(backend) as other:
        other.execute("BEGIN TRANSACTION READ ONLY")
        other.execute("INSERT INTO items VALUES (2, 'a')")


def nested(backend: DuckDBBackend) -> None:
    with beside(backend) as other:
        other.execute("BEGIN TRANSACTION")
        other.execute("BEGIN TRANSACTION")


def closed(backend: DuckDBBackend) -> None:
    other = beside(backend)
    other.close()
    other.execute("SELECT 1")


class Case(NamedTuple):
    """What is done, and how the caller's error must look."""

    act: Act
    outcome: str
    kind: str
    gets: type[BaseException]


PROVOKED = {
    "unique violation": Case(
        sql("INSERT INTO items VALUES (1, 'a')"), "ok", "constraint", duckdb.ConstraintException
    ),
    "unique violation at the commit": Case(
        same_key_at_the_commit, "ok", "constraint", duckdb.TransactionException
    ),
    "conflict": Case(lost_race, "neutral", "conflict", duckdb.TransactionException),
    "aborted": Case(after_a_failed_one, "ok", "statement", duckdb.TransactionException),
    "read-only": Case(inside_read_only, "ok", "read_only", duckdb.TransactionException),
    "read-only, refused before": Case(
        lambda backend: backend.read(lambda s: s.execute("DELETE FROM items")),
        "ok", "read_only", ReadOnlyViolation,
    ),
    "another transaction error": Case(nested, "neutral", "internal", duckdb.TransactionException),
    "syntax error": Case(sql("SELEC 1"), "ok", "statement", duckdb.ParserException),
    "missing table": Case(sql("SELECT * FROM nowhere"), "ok", "statement",
                          duckdb.CatalogException),
    "conversion": Case(sql("SELECT 'x'::integer"), "ok", "statement", duckdb.ConversionException),
    "file out of reach": Case(sql("SELECT * FROM read_csv('x.csv')"), "ok", "statement",
                              duckdb.PermissionException),
    "statement time-out": Case(
        lambda backend: backend.read(lambda s: s.execute(SLOW), Bounds(5.0, 0.05)),
        "neutral", "timeout", StatementTimeout,
    ),
    "out of memory, reading": Case(
        lambda backend: backend.read(lambda s: s.execute(BIG)),
        "failure", "resources", BackendFailed,
    ),
    "out of memory, writing": Case(
        sql(f"INSERT INTO items SELECT 9, ({BIG})"), "failure", "resources", BackendFailed
    ),
    "closed": Case(closed, "failure", "unreachable", duckdb.ConnectionException),
}  # fmt: skip


@pytest.mark.parametrize("row", PROVOKED)
def test_a_row_of_duckdb(row: str, make: Make, heard: Heard) -> None:
    case = PROVOKED[row]
    backend = make(memory_mib=64)
    sql("INSERT INTO items VALUES (1, 'a')")(backend)
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- its type is asked below
        case.act(backend)
    assert type(caught.value) is case.gets
    assert (backend.classify(caught.value).value, judge(caught.value).kind) == case[1:3]
    if isinstance(caught.value, (BackendFailed, StatementTimeout)):
        assert {kind for _, kind in heard.failures} == {case.kind}
    # Whatever it was, the lanes work on.
    sql("INSERT INTO items VALUES (3, 'a')")(backend)
    assert (1, "a") in backend.read(lambda s: s.execute("SELECT * FROM items"))


def test_a_directory_is_no_database(make: Make, duckdb_path: object) -> None:
    backend = make(opened=False, path=f"{duckdb_path}/nowhere/x.duckdb")
    with pytest.raises(BackendFailed) as caught:
        backend._attempt()
    assert judge(caught.value) == ("failure", "unreachable")


def test_every_type_that_is_listed_stands_before_its_bases() -> None:
    types = [row.error for row in errors.TYPES]
    for place, one in enumerate(types):
        assert not any(issubclass(later, one) for later in types[place + 1 :])
