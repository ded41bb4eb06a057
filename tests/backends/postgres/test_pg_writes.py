from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Bounds, Insert, Session
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend

    from .conftest import Recording

pytestmark = pytest.mark.postgres
ITEM = Insert("item", ("id", "name"))
PUT = "INSERT INTO item VALUES (%s, %s)"


def _count(backend: PostgresBackend) -> int:
    return int(backend.read(lambda s: s.execute("SELECT count(*) FROM item"))[0][0])


def test_a_unit_is_one_transaction(backend: PostgresBackend) -> None:
    def unit(session: Session) -> str:
        session.execute(PUT, (1, "a"))
        session.execute(PUT, (2, "b"))
        return "done"

    assert backend.write(unit) == "done"
    assert _count(backend) == 2


def test_nothing_is_kept_after_an_exception(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        session.execute(PUT, (1, "a"))
        raise ValueError("the application's own")

    with pytest.raises(ValueError, match="own"):
        backend.write(unit)
    assert _count(backend) == 0


def test_an_error_that_the_unit_swallowed_is_not_taken_for_success(
    backend: PostgresBackend,
) -> None:
    def unit(session: Session) -> None:
        session.execute(PUT, (1, "a"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute(PUT, (1, "again"))

    with pytest.raises(psycopg.errors.UniqueViolation):
        backend.write(unit)
    assert _count(backend) == 0


def test_a_unit_that_commits_by_itself_is_an_error(backend: PostgresBackend) -> None:
    with pytest.raises(BackendError, match="own transaction"):
        backend.write(lambda s: s.execute("COMMIT"))


def test_a_constraint_checked_at_the_commit_is_the_drivers_error(
    backend: PostgresBackend,
) -> None:
    backend.write(
        lambda s: s.execute(
            "CREATE TABLE pair (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        backend.write(lambda s: s.execute("INSERT INTO pair VALUES (5)"))


def test_an_insert_that_breaks_a_constraint(backend: PostgresBackend, observer: Recording) -> None:
    backend.insert(ITEM, (1, "a"))
    with pytest.raises(ConstraintViolation) as caught:
        backend.insert(ITEM, (1, "b"))
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert backend.classify(caught.value) is Outcome.OK
    assert observer.failures == [(Lane.WRITE, "constraint")]


def test_an_inserts_other_errors_are_the_drivers(backend: PostgresBackend) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        backend.insert(Insert("nowhere", ("id",)), (1,))


def test_names_are_quoted(backend: PostgresBackend) -> None:
    backend.write(lambda s: s.execute('CREATE TABLE "a%""b" ("100% x" int)'))
    backend.insert(Insert('a%"b', ("100% x",)), (5,))
    assert backend.read(lambda s: s.execute('SELECT "100% x" FROM "a%""b"')) == [(5,)]


def test_an_insert_that_lost_a_race_is_run_once_more(backend: PostgresBackend) -> None:
    backend.write(_racing_trigger)
    backend.insert(ITEM, (1, "a"))
    with pytest.raises(psycopg.errors.SerializationFailure):
        backend.insert(ITEM, (2, "loses twice"))
    assert _count(backend) == 1


def _racing_trigger(session: Session) -> None:
    session.execute("CREATE SEQUENCE tries")
    session.execute(
        """CREATE FUNCTION race() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.id > 1 OR nextval('tries') = 1 THEN
            RAISE EXCEPTION 'lost' USING ERRCODE = '40001';
        END IF;
        RETURN new; END $$"""
    )
    session.execute("CREATE TRIGGER race BEFORE INSERT ON item FOR ROW EXECUTE FUNCTION race()")


def test_a_unit_that_lost_a_race_is_told_so(backend: PostgresBackend) -> None:
    backend.insert(ITEM, (1, "a"))
    backend.insert(ITEM, (2, "b"))
    both = Barrier(2)

    def unit(first: int, second: int) -> Outcome:
        def inside(session: Session) -> None:
            session.execute("UPDATE item SET name = 'x' WHERE id = %s", (first,))
            both.wait(10)
            session.execute("UPDATE item SET name = 'x' WHERE id = %s", (second,))

        try:
            backend.write(inside)
        except psycopg.errors.DeadlockDetected as error:
            return backend.classify(error)
        return Outcome.OK

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(unit, (1, 2), (2, 1)))
    assert sorted(outcomes) == [Outcome.NEUTRAL, Outcome.OK]


def test_a_write_that_runs_too_long_changes_nothing(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        session.execute(PUT, (1, "a"))
        session.execute("SELECT pg_sleep(20)")

    with pytest.raises(StatementTimeout):
        backend.write(unit, Bounds(1.0, 0.2))
    assert _count(backend) == 0
    assert backend.write(lambda s: s.execute("SHOW statement_timeout")) == [("5s",)]


def test_a_unit_that_used_its_time_up_is_not_committed(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        session.execute(PUT, (1, "a"))
        Event().wait(0.08)

    with pytest.raises(StatementTimeout, match="commit"):
        backend.write(unit, Bounds(1.0, 0.05))
    assert _count(backend) == 0


def test_a_commit_whose_answer_is_lost_is_told_as_unknown(backend: PostgresBackend) -> None:
    # The server ends the session after the work of the commit and before its answer.
    backend.write(_dying_trigger)
    with pytest.raises(BackendFailed, match="unknown"):
        backend.write(lambda s: s.execute(PUT, (1, "a")))
    with pytest.raises(BackendFailed, match="unknown"):
        backend.insert(ITEM, (2, "b"))
    assert backend.write(lambda s: s.execute("SELECT 1")) == [(1,)]


def _dying_trigger(session: Session) -> None:
    session.execute(
        """CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$"""
    )
    session.execute(
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON item "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"
    )


def test_a_connection_lost_in_the_unit_is_no_unknown_outcome(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        with pytest.raises(BackendFailed):
            session.execute("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")

    with pytest.raises(BackendFailed) as caught:
        backend.write(unit)
    assert "unknown" not in str(caught.value)


def test_a_write_host_that_takes_no_writes_is_a_failure_and_all_connections_are_made_anew(
    backend: PostgresBackend, until: Callable[[Callable[[], object]], None]
) -> None:
    def pids() -> set[int]:
        return set(backend._pools[Lane.WRITE].pids)

    def unit(session: Session) -> None:
        session.execute("SET TRANSACTION READ ONLY")
        session.execute(PUT, (1, "a"))

    before = pids()
    with pytest.raises(BackendFailed, match="takes no writes") as caught:
        backend.write(unit)
    assert backend.classify(caught.value) is Outcome.FAILURE
    until(lambda: len(pids()) == 2 and not pids() & before)


def test_a_full_lane_is_busy_and_does_not_touch_the_other(
    backend: PostgresBackend, observer: Recording, until: Callable[[Callable[[], object]], None]
) -> None:
    release = Event()
    with ThreadPoolExecutor(3) as threads:
        held = [threads.submit(backend.write, lambda _: release.wait(10)) for _ in range(2)]
        until(lambda: backend.signals(Lane.WRITE).in_use == 2)
        with pytest.raises(BackendBusy) as caught:
            backend.write(lambda s: s.execute("SELECT 1"), Bounds(0.02, 1.0))
        waiter = threads.submit(backend.write, lambda s: s.execute("SELECT 1"))
        until(lambda: backend.signals(Lane.WRITE).waiting == 1)
        assert backend.signals(Lane.READ) == (2, 2, 0, 0, 2)
        assert backend.read(lambda s: s.execute("SELECT 2")) == [(2,)]
        release.set()
        assert waiter.result() == [(1,)]
        assert all(one.result() for one in held)
    assert backend.classify(caught.value) is Outcome.NEUTRAL
    assert observer.failures == [(Lane.WRITE, "busy")]
    assert [got for lane, _, got in observer.acquires if lane is Lane.WRITE].count(False) == 1
    assert backend.signals(Lane.WRITE) == (2, 2, 0, 0, 2)


def test_many_threads_on_few_connections_lose_nothing(backend: PostgresBackend) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: backend.insert(ITEM, (number, "x")), range(200)))
    assert _count(backend) == 200
    assert backend.signals(Lane.WRITE) == (2, 2, 0, 0, 2)
