"""What every backend promises about data, shown on each of them with its real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from backend_cases import ITEMS, BackendCase, Heard, Options, OwnError, held, ids

from guard.backends.base import Bounds
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
    from collections.abc import Callable

    from guard.backends.base import Backend, Row, Session

    Opened = Callable[[Options], Backend]
    Eventually = Callable[[Callable[[], object]], None]

SHORT = Bounds(wait_s=0.05, run_s=20.0)


def test_what_was_written_is_read(backend: Backend, backend_case: BackendCase) -> None:
    sql = backend_case.sql("INSERT INTO items VALUES (?, ?, ?) RETURNING id")
    assert backend.write(lambda s: s.execute(sql, (1, "a", ["x", None]))) == [(1,)]
    backend.insert(ITEMS, (2, "%?é😀", []))
    backend.insert(ITEMS, (3, "", None))
    rows = backend.read(lambda s: s.execute("SELECT id, name, tags FROM items ORDER BY id"))
    assert rows == [(1, "a", ["x", None]), (2, "%?é😀", []), (3, "", None)]
    with backend.stream() as session:
        query = backend_case.sql("SELECT id FROM items WHERE id > ? ORDER BY id")
        assert list(session.rows(query, (1,), chunk=1)) == [(2,), (3,)]


def test_a_statement_without_a_result_returns_no_rows(
    backend: Backend, backend_case: BackendCase
) -> None:
    sql = backend_case.sql("INSERT INTO items (id, name) VALUES (?, ?)")

    def unit(session: Session) -> list[list[Row]]:
        return [
            session.execute(sql, (1, "a")),
            session.execute("UPDATE items SET name = 'b'"),
            session.execute("CREATE TABLE other (id integer)"),
            session.execute("DELETE FROM items"),
            session.execute("SELECT id FROM items"),
        ]

    assert backend.write(unit) == [[], [], [], [], []]


def test_a_unit_sees_its_own_writes(backend: Backend) -> None:
    def unit(session: Session) -> list[Row]:
        session.execute("INSERT INTO items (id, name) VALUES (1, 'a')")
        return session.execute("SELECT id FROM items")

    assert backend.write(unit) == [(1,)]


WRITES = [
    "INSERT INTO items (id, name) VALUES (1, 'a')",
    "DELETE FROM items",
    "CREATE TABLE other (id integer)",
]
HIDDEN = "WITH new AS (INSERT INTO items (id, name) VALUES (1, 'a') RETURNING id) SELECT * FROM new"


@pytest.mark.parametrize("sql", [*WRITES, HIDDEN])
def test_a_read_session_refuses_to_write(backend: Backend, sql: str) -> None:
    with pytest.raises(ReadOnlyViolation):
        backend.read(lambda s: s.execute(sql))
    assert ids(backend) == []


@pytest.mark.parametrize("sql", WRITES)
def test_a_stream_refuses_to_write(backend: Backend, sql: str) -> None:
    with pytest.raises(ReadOnlyViolation), backend.stream() as session:
        list(session.rows(sql))
    assert ids(backend) == []


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "COMMIT; INSERT INTO items (id, name) VALUES (1, 'a')"]
)
def test_a_read_session_refuses_two_statements(backend: Backend, sql: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- each driver has its own
        backend.read(lambda s: s.execute(sql))
    assert backend.classify(caught.value) is Outcome.OK
    assert ids(backend) == []


def test_nothing_of_a_unit_that_raises_is_kept(backend: Backend) -> None:
    def unit(session: Session) -> None:
        session.execute("INSERT INTO items (id, name) VALUES (1, 'a')")
        raise OwnError

    with pytest.raises(OwnError):
        backend.write(unit)
    assert ids(backend) == []


def test_nothing_of_a_unit_that_swallows_a_statements_error_is_kept(backend: Backend) -> None:
    def unit(session: Session) -> str:
        session.execute("INSERT INTO items (id, name) VALUES (1, 'a')")
        with suppress(Exception):
            session.execute("INSERT INTO items (id, name) VALUES (1, 'again')")
        return "fine"

    with pytest.raises(Exception, match=r"(?i)duplicate"):
        backend.write(unit)
    assert ids(backend) == []


def test_an_error_in_the_statement_is_the_drivers_and_says_nothing_about_health(
    backend: Backend, heard: Heard
) -> None:
    for run in (backend.read, backend.write):
        with pytest.raises(Exception, match="nosuch") as caught:
            run(lambda s: s.execute("SELECT * FROM nosuch"))
        assert not isinstance(caught.value, BackendError)
        assert backend.classify(caught.value) is Outcome.OK
    assert heard.failures == [(Lane.READ, "statement"), (Lane.WRITE, "statement")]


def test_a_bad_row_fails_only_its_own_caller(
    backend: Backend, heard: Heard, eventually: Eventually
) -> None:
    backend.insert(ITEMS, (100, "there", None))
    rows = {n: (n, "a", ["x"]) for n in range(10)} | {
        10: (100, "taken", ["x"]),
        11: (11, None, ["x"]),
    }
    with ThreadPoolExecutor(len(rows)) as threads, held(backend, Lane.WRITE, eventually) as free:
        calls = {n: threads.submit(backend.insert, ITEMS, row) for n, row in rows.items()}
        eventually(lambda: backend.signals(Lane.WRITE).waiting == len(rows))
        free.set()
        errors = {n: call.exception(20) for n, call in calls.items()}
    assert {n for n, error in errors.items() if error} == {10, 11}
    assert isinstance(errors[10], ConstraintViolation)
    assert isinstance(errors[11], ConstraintViolation)
    assert ids(backend) == [*range(10), 100]
    assert heard.failures == [(Lane.WRITE, "constraint")] * 2


def test_a_result_is_capped_and_a_stream_is_not(
    backend: Backend, backend_case: BackendCase, heard: Heard
) -> None:
    numbers = backend_case.numbers
    assert len(backend.read(lambda s: s.execute(numbers, (100,)))) == 100
    with pytest.raises(ResultTooLarge) as caught:
        backend.read(lambda s: s.execute(numbers, (101,)))
    assert backend.classify(caught.value) is Outcome.OK
    assert heard.failures == [(Lane.READ, "statement")]
    with backend.stream() as session:
        assert sum(1 for _ in session.rows(numbers, (2500,), chunk=1000)) == 2500


def test_a_stream_can_be_left_early(backend: Backend, backend_case: BackendCase) -> None:
    for _ in range(5):
        with backend.stream() as session:
            assert next(session.rows(backend_case.numbers, (2500,), chunk=10)) == (0,)
    assert backend.signals(Lane.READ).in_use == 0


def test_a_session_is_useless_after_its_unit(backend: Backend) -> None:
    kept: list[Session] = []
    for run in (backend.read, backend.write):
        run(kept.append)
    for session in kept:
        with pytest.raises(BackendClosed):
            session.execute("SELECT 1")


def test_every_acknowledged_insert_is_there_once(backend: Backend) -> None:
    def some(first: int) -> list[int]:
        acknowledged = []
        for n in range(first, first + 25):
            if n % 10 == 3:
                sql = f"INSERT INTO items (id, name) VALUES ({n}, 'unit')"
                backend.write(lambda s, sql=sql: s.execute(sql))  # type: ignore[misc]
            else:
                backend.insert(ITEMS, (n, f"name {n}", ["x"] * (n % 3)))
            acknowledged.append(n)
        return acknowledged

    with ThreadPoolExecutor(16) as threads:
        acknowledged = [n for part in threads.map(some, range(0, 400, 25)) for n in part]
    rows = backend.read(
        lambda s: s.execute("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM items")
    )
    assert rows == [(400, 400, 0, 399)]
    assert sorted(acknowledged) == list(range(400))


def test_classify(backend: Backend) -> None:
    expected = {
        BackendBusy: Outcome.NEUTRAL,
        BackendClosed: Outcome.NEUTRAL,
        BackendFailed: Outcome.FAILURE,
        StatementTimeout: Outcome.NEUTRAL,
        ReadOnlyViolation: Outcome.OK,
        ConstraintViolation: Outcome.OK,
        ResultTooLarge: Outcome.OK,
        ValueError: Outcome.NEUTRAL,
        KeyboardInterrupt: Outcome.NEUTRAL,
    }
    assert {kind: backend.classify(kind("x")) for kind in expected} == expected
