"""Errors, statements, sessions, options."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import duckdb
import pytest

from guard.backends.base import Bounds, Insert, Session
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.backends.duckdb import statements as statements_module
from guard.backends.duckdb.errors import (
    is_database_error,
    is_fatal,
    judge,
    of_insert,
    one_line,
    suspected,
    translate,
)
from guard.backends.duckdb.statements import Statements
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    StatementTimeout,
)
from guard.metrics import ERROR_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend_cases import Heard


FAILURE, OK, NEUTRAL = Outcome.FAILURE, Outcome.OK, Outcome.NEUTRAL

VERDICTS = [
    (duckdb.ConnectionException("closed"), FAILURE, "unreachable"),
    (duckdb.IOException("Conflicting lock is held"), FAILURE, "unreachable"),
    (duckdb.IOException("Could not write file"), FAILURE, "resources"),
    (duckdb.IOException("No space left on device"), FAILURE, "resources"),
    (duckdb.OutOfMemoryException("x"), FAILURE, "resources"),
    (duckdb.FatalException("x"), FAILURE, "internal"),
    (duckdb.InternalException("x"), FAILURE, "internal"),
    (duckdb.TransactionException("Failed to commit: Could not write"), FAILURE, "resources"),
    (duckdb.TransactionException("Failed to commit: constraint violation"), OK, "constraint"),
    (duckdb.TransactionException("launched in read-only mode"), OK, "read_only"),
    (duckdb.TransactionException("Conflict on update!"), NEUTRAL, "conflict"),
    (duckdb.TransactionException("Current transaction is aborted"), OK, "statement"),
    (duckdb.TransactionException("something new"), NEUTRAL, "internal"),
    (duckdb.ResourceInUseException("x"), NEUTRAL, "conflict"),
    (duckdb.InterruptException("x"), NEUTRAL, "timeout"),
    (duckdb.ConstraintException("x"), OK, "constraint"),
    (duckdb.HTTPException("x"), OK, "statement"),
    (duckdb.ParserException("x"), OK, "statement"),
    (duckdb.ConversionException("x"), OK, "statement"),
    (duckdb.PermissionException("x"), OK, "statement"),
    (BackendError("x"), OK, "statement"),
    (BackendFailed("x"), FAILURE, "unreachable"),
    (LookupError("x"), NEUTRAL, "internal"),
]


@pytest.mark.parametrize(("error", "outcome", "kind"), VERDICTS, ids=repr)
def test_what_an_error_says(error: Exception, outcome: Outcome, kind: str) -> None:
    assert judge(error) == (outcome, kind)
    assert kind in ERROR_KINDS
    for lane in Lane:
        found = translate(error, lane)
        found.__cause__ = error
        if kind != "read_only":
            assert judge(found) == (outcome, kind)


def test_what_the_caller_gets() -> None:
    read_only = duckdb.TransactionException("read-only mode")
    assert isinstance(translate(read_only, Lane.READ), ReadOnlyViolation)
    assert translate(read_only, Lane.WRITE) is read_only
    assert isinstance(translate(duckdb.InterruptException("x"), Lane.READ), StatementTimeout)
    own = LookupError("x")
    assert translate(own, Lane.READ) is own
    assert isinstance(of_insert(duckdb.ConstraintException("x")), ConstraintViolation)
    assert of_insert(own) is own
    assert is_fatal(duckdb.FatalException("x"))
    assert not is_fatal(duckdb.IOException("x"))
    assert is_database_error(BackendBusy("x"))
    assert not is_database_error(own)
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"


def test_suspects_by_the_message_of_the_engine() -> None:
    """With its real messages, so that a change of their wording is seen."""
    shape = Insert("t", ("a", "b", "c"))
    rows = [(1, "x, y: z", 1), (2, "x", None), (3, "y", 7), (4, "y", 8)]
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE t (a int, b varchar, c int NOT NULL UNIQUE, PRIMARY KEY (a, b), "
        "CHECK (a < 9)); INSERT INTO t VALUES (1, 'x, y: z', 100), (8, 'z', 7)"
    )

    def message(row: tuple[object, ...]) -> duckdb.Error:
        with pytest.raises(duckdb.Error) as caught:
            connection.execute("INSERT INTO t VALUES (?, ?, ?)", row)
        return caught.value

    assert suspected(message(rows[0]), shape, rows) == {0}
    assert suspected(message(rows[1]), shape, rows) == {1}
    assert suspected(message(rows[2]), shape, rows) == {2}
    assert suspected(message((10, "y", 9)), shape, rows) == set()
    assert suspected(message((5, "y", "no number")), shape, rows) == set()
    assert suspected(message((3, "y", None)), Insert("t", ("a", "b")), [(1, "x")]) == set()
    connection.execute("BEGIN; INSERT INTO t VALUES (4, 'q', 50)")
    assert suspected(message((6, "r", 50)), shape, [(6, "r", 50), (7, "s", 51)]) == {0}
    connection.close()


def test_statements_are_parsed_once_and_the_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statements_module, "_CACHED_MAX", 2)
    statements, connection = Statements(), duckdb.connect()
    first = statements.find(connection, "SELECT 1", Lane.READ)
    assert statements.find(connection, "SELECT 1", Lane.WRITE) is first
    for n in range(2, 5):
        found = statements.find(connection, f"SELECT {n}", Lane.READ)
        assert connection.execute(found.statement).fetchall() == [(n,)]
    assert len(statements._known) <= 2
    assert statements.find(connection, "SELECT 1", Lane.READ) is not first
    with pytest.raises(duckdb.ParserException):
        statements.find(connection, "SELEC", Lane.READ)
    connection.close()


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1; SELECT 2", "", "-- nothing", "INSERT INTO t VALUES (1)", "COPY t TO 'x'",
     "ATTACH 'x' AS y", "SET threads = 2", "COMMIT", "PRAGMA version", "CALL pragma_version()",
     "EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "CHECKPOINT", "INSTALL x", "EXPORT DATABASE 'x'"],
)  # fmt: skip
def test_the_read_lane_takes_one_select(sql: str) -> None:
    connection = duckdb.connect()
    statements = Statements()
    for _ in range(2):
        with pytest.raises(ReadOnlyViolation):
            statements.find(connection, sql, Lane.READ)
    connection.close()


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "WITH x AS (SELECT 1) FROM x", "FROM t", "VALUES (1)", "SHOW TABLES", "TABLE t"],
)
def test_every_form_of_a_select_is_one(sql: str) -> None:
    connection = duckdb.connect()
    assert Statements().find(connection, sql, Lane.READ).answers
    connection.close()


def test_a_stream_ends_with_an_error_where_another_statement_took_its_place(
    make: Callable[..., DuckDBBackend],
) -> None:
    with make().stream() as session:
        rows = session.rows("SELECT range FROM range(1000)", chunk=10)
        assert next(rows) == (0,)
        assert session.execute("SELECT 1") == [(1,)]
        with pytest.raises(BackendError, match="another statement"):
            list(rows)


def test_no_statement_starts_after_the_units_time(
    make: Callable[..., DuckDBBackend], heard: Heard
) -> None:
    backend = make()
    ran: list[int] = []

    def unit(session: Session) -> None:
        threading.Event().wait(0.02)
        session.execute("SELECT 1")
        ran.append(1)

    for run in (backend.read, backend.write):
        with pytest.raises(StatementTimeout, match="time is over"):
            run(unit, Bounds(20.0, 0.01))
    assert ran == []
    assert heard.failures == [(Lane.READ, "timeout"), (Lane.WRITE, "timeout")]


def test_a_preparation_that_swallows_an_error_is_tried_again(
    make: Callable[..., DuckDBBackend],
) -> None:
    backend = make(opened=False)
    tries: list[int] = []

    def prepare(session: Session) -> None:
        tries.append(1)
        session.execute(f"CREATE TABLE t{len(tries)} (a integer)")
        if len(tries) < 2:
            try:
                session.execute("SELECT * FROM nosuch")
            except duckdb.Error:
                return

    backend.open(prepare)
    assert backend.wait_ready(20)
    tables = backend.read(lambda s: s.execute("SELECT table_name FROM duckdb_tables()"))
    assert tables == [("t2",)]


def test_the_options_are_what_the_engine_gets() -> None:
    config = DuckDBConfig("x.duckdb", memory_mib=64)
    assert config.engine_options()["memory_limit"] == "64MiB"
    assert config.engine_options()["checkpoint_threshold"] == "16MiB"
    assert config.real_path().is_absolute()
