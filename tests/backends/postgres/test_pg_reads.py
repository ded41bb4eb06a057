from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Bounds, Insert, Session
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendClosed,
    BackendFailed,
    ReadOnlyViolation,
    ResultTooLarge,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend

    from .conftest import Recording

pytestmark = pytest.mark.postgres
ITEM = Insert("item", ("id", "name"))
SLOW = "SELECT pg_sleep(20)"


def test_values_and_patterns_with_and_without_parameters(backend: PostgresBackend) -> None:
    backend.insert(ITEM, (1, "50%"))
    assert backend.read(lambda s: s.execute("SELECT name FROM item WHERE name LIKE '5%'")) == [
        ("50%",)
    ]
    found = backend.read(
        lambda s: s.execute("SELECT id FROM item WHERE name = %s", ("50%",), prepare=False)
    )
    assert found == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO item VALUES (1, 'x')",
        "-- a comment\n/* and another */ DELETE FROM item",
        "SET default_transaction_read_only = off",
        "BEGIN READ WRITE",
        "COMMIT",
        "DO $$ BEGIN END $$",
        "",
        "WITH made AS (INSERT INTO item VALUES (1, 'x') RETURNING id) SELECT * FROM made",
        "SELECT id INTO copy FROM item",
        "EXPLAIN ANALYZE INSERT INTO item VALUES (1, 'x')",
        "SELECT * FROM item FOR UPDATE",
    ],
)
def test_no_write_passes_the_read_lane(backend: PostgresBackend, sql: str) -> None:
    with pytest.raises(ReadOnlyViolation) as caught:
        backend.read(lambda s: s.execute(sql))
    assert backend.classify(caught.value) is Outcome.OK
    assert backend.read(lambda s: s.execute("SELECT count(*) FROM item")) == [(0,)]


@pytest.mark.parametrize("prepare", [True, False])
def test_two_statements_in_one_string_are_refused(
    backend: PostgresBackend, *, prepare: bool
) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        backend.read(lambda s: s.execute("SELECT 1; SELECT 2", prepare=prepare))
    assert backend.read(lambda s: s.execute("SELECT 3")) == [(3,)]


def test_a_wall_taken_down_inside_a_unit_stops_it_and_does_not_outlive_it(
    backend: PostgresBackend,
) -> None:
    def unit(session: Session) -> object:
        session.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        return session.execute(
            "WITH made AS (INSERT INTO item VALUES (1, 'x') RETURNING id) SELECT * FROM made"
        )

    with pytest.raises(ReadOnlyViolation):
        backend.read(unit)
    for _ in range(4):
        assert backend.read(lambda s: s.execute("SHOW default_transaction_read_only")) == [("on",)]
    assert backend.read(lambda s: s.execute("SELECT count(*) FROM item")) == [(0,)]


def test_other_forms_of_a_query_pass(backend: PostgresBackend) -> None:
    for sql in (
        "(SELECT 1)",
        "TABLE item",
        "values (1)",
        " \n SHOW server_version",
        "EXPLAIN SELECT 1",
    ):
        backend.read(lambda s, sql=sql: s.execute(sql))


def test_too_many_rows_are_an_error_and_a_stream_gives_them(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    backend = make_backend(postgres_url, result_rows_max=10)
    sql = "SELECT * FROM generate_series(1, %s)"
    assert len(backend.read(lambda s: s.execute(sql, (10,)))) == 10
    with pytest.raises(ResultTooLarge):
        backend.read(lambda s: s.execute(sql, (11,)))
    with backend.stream() as session:
        assert sum(1 for _ in session.rows(sql, (2500,), chunk=1000)) == 2500
        assert [row for row in session.rows("SELECT 7")] == [(7,)]  # noqa: C416 -- a stream
        assert session.execute("SELECT 8") == [(8,)]


def test_a_stream_is_one_snapshot_and_read_only(backend: PostgresBackend) -> None:
    with backend.stream() as session:
        # Two cursors at once, one of them never read to its end.
        first, second = session.rows("SELECT 1"), session.rows("SELECT 2")
        assert next(first) == (1,)
        with pytest.raises(ReadOnlyViolation):
            list(session.rows("DELETE FROM item"))
    with pytest.raises(BackendClosed):
        next(second)
    assert backend.read(lambda s: s.execute("SELECT 3")) == [(3,)]


def test_a_session_is_useless_after_its_unit(backend: PostgresBackend) -> None:
    kept = backend.read(lambda s: s)
    with pytest.raises(BackendClosed):
        kept.execute("SELECT 1")


def test_the_statement_timeout_and_what_is_left_of_the_run_bound_each_statement(
    postgres_url: str, make_backend: Callable[..., PostgresBackend], observer: Recording
) -> None:
    backend = make_backend(postgres_url, statement_timeout_s=0.2, read_pool_size=1)
    with pytest.raises(StatementTimeout) as caught:
        backend.read(lambda s: s.execute(SLOW))
    assert backend.classify(caught.value) is Outcome.NEUTRAL
    with pytest.raises(StatementTimeout):
        backend.read(lambda s: s.execute(SLOW), Bounds(1.0, 0.05))
    # The shorter time-out was this unit's alone.
    assert backend.read(lambda s: s.execute("SHOW statement_timeout")) == [("200ms",)]
    assert [kind for _, kind in observer.failures] == ["timeout", "timeout"]


def test_a_statement_that_has_no_time_left_is_not_sent(backend: PostgresBackend) -> None:
    def unit(session: Session) -> object:
        with pytest.raises(StatementTimeout):
            session.execute(SLOW)
        return session.execute("SELECT 1")

    with pytest.raises(StatementTimeout, match="time is over"):
        backend.read(unit, Bounds(1.0, 0.05))


def test_a_plan_is_only_kept_where_it_is_wanted(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    # After five executions of a prepared statement the planner may take a plan for any
    # values at once; a search whose best plan depends on its term says prepare=False.
    backend = make_backend(postgres_url, read_pool_size=1)

    def prepared(*, prepare: bool) -> int:
        sql = f"SELECT id, {prepare} FROM item WHERE name LIKE %s"
        for _ in range(8):
            backend.read(lambda s: s.execute(sql, ("%a%",), prepare=prepare))
        count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s"
        rows = backend.read(lambda s: s.execute(count, (f"%{prepare} FROM item%",), prepare=False))
        return int(rows[0][0])

    assert prepared(prepare=False) == 0
    assert prepared(prepare=True) == 1


def test_an_ended_session_is_a_failure_and_the_next_read_works(backend: PostgresBackend) -> None:
    with pytest.raises(BackendFailed) as caught:
        backend.read(
            lambda s: s.execute("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
        )
    assert backend.classify(caught.value) is Outcome.FAILURE
    assert backend.read(lambda s: s.execute("SELECT 1")) == [(1,)]


def test_an_error_of_the_statement_reaches_the_caller_as_it_is(
    backend: PostgresBackend, observer: Recording
) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable) as caught:
        backend.read(lambda s: s.execute("SELECT * FROM nowhere"))
    assert backend.classify(caught.value) is Outcome.OK
    assert observer.failures == [(Lane.READ, "statement")]
    assert observer.queries[-1][2] is Outcome.OK
    assert observer.releases[-1][::2] == (Lane.READ, Outcome.OK)


def test_a_plan_from_before_a_change_of_the_schema_does_not_stay(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    backend = make_backend(postgres_url, read_pool_size=1)
    for _ in range(6):
        backend.read(lambda s: s.execute("SELECT * FROM item WHERE id = %s", (1,)))
    backend.write(lambda s: s.execute("ALTER TABLE item ADD COLUMN extra text"))
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        backend.read(lambda s: s.execute("SELECT * FROM item WHERE id = %s", (1,)))
    assert backend.read(lambda s: s.execute("SELECT * FROM item WHERE id = %s", (1,))) == []
