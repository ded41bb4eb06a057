"""The PostgreSQL backend through a real PgBouncer in transaction mode."""

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest
from programs import program

from guard.backends.base import Bounds, Insert
from guard.core.pooler import PoolerQueue
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    StatementTimeout,
)
from stress.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.base import Row, Session
    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

    from .conftest import Recording

pytestmark = pytest.mark.postgres

SIZE = 2
SETTINGS = {"default_pool_size": SIZE, "query_wait_timeout": 60, "server_idle_timeout": 2}
ITEM = Insert("item", ("id", "name"))
SESSION = "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')"


@pytest.fixture(scope="module")
def pooler(postgres_server: DemoServer) -> Iterator[PgBouncer]:
    program("pgbouncer")
    with PgBouncer(postgres_server.url, SETTINGS) as one:
        yield one


@pytest.fixture
def through(
    pooler: PgBouncer, postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> Callable[..., PostgresBackend]:
    """Makes backends that reach the test's database through the pooler."""
    database = postgres_url.rpartition("/")[2]

    def make(**options: object) -> PostgresBackend:
        return make_backend(pooler.url(database), pooled=True, **options)

    return make


def count(session: Session) -> list[Row]:
    return session.execute("SELECT count(*) FROM item")


def others(pooler: PgBouncer, postgres_url: str) -> list[object]:
    """What another client of the same pool finds in the sessions that it is given."""
    url = pooler.url(postgres_url.rpartition("/")[2])
    asked = """
    SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'),
      (SELECT count(*) FROM pg_prepared_statements), pg_sleep(0.05)
    """
    with ThreadPoolExecutor(SIZE) as threads:  # at the same time: from each of the sessions

        def ask(_: int) -> object:
            with psycopg.connect(url, autocommit=True, prepare_threshold=None) as one:
                return one.execute(asked).fetchone()[:3]  # type: ignore[index]

        return list(threads.map(ask, range(SIZE)))


def test_units_of_every_kind_work_and_leave_nothing_in_the_servers_sessions(
    through: Callable[..., PostgresBackend], pooler: PgBouncer, postgres_url: str
) -> None:
    backend = through(read_pool_size=4, write_pool_size=4, statement_timeout_s=3.0)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: backend.insert(ITEM, (n, f"item {n}")), range(40)))
        counts = list(
            threads.map(
                lambda n: backend.read(
                    lambda s: s.execute("SELECT name FROM item WHERE id = %s", (n,))
                ),
                range(40),
            )
        )
    assert counts == [[(f"item {n}",)] for n in range(40)]

    def write(session):
        session.execute("UPDATE item SET name = 'new' WHERE id = %s", (1,))
        return session.execute(SESSION)

    assert backend.write(write) == [("3s", "off")]
    assert backend.read(lambda s: s.execute(SESSION)) == [("3s", "on")]
    [(timeout, _)] = backend.read(lambda s: s.execute(SESSION), Bounds(1.0, 1.0))
    assert timeout != "3s", "what is left of the time is the statement's time-out"
    with backend.stream() as session:
        rows = list(session.rows("SELECT id FROM item ORDER BY id", chunk=7))
    assert rows == [(n,) for n in range(40)]
    assert set(others(pooler, postgres_url)) == {("0", "off", 0)}


def test_reads_are_read_only_whatever_the_servers_session_says(
    through: Callable[..., PostgresBackend],
) -> None:
    backend = through()
    tried = "WITH gone AS (INSERT INTO item VALUES (1, 'x') RETURNING id) SELECT id FROM gone"
    with pytest.raises(ReadOnlyViolation):
        backend.read(lambda s: s.execute(tried))
    with pytest.raises(ReadOnlyViolation):
        backend.read(lambda s: s.execute("DELETE FROM item"))

    def goes_on(session):
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.execute("SELECT 1/0")
        return session.execute("SELECT count(*) FROM item")

    assert backend.read(goes_on) == [(0,)], "a statement's error is that statement's alone"


def test_errors_mean_what_they_mean_without_a_pooler(
    through: Callable[..., PostgresBackend],
) -> None:
    backend = through(statement_timeout_s=0.2)
    backend.insert(ITEM, (1, "a"))
    with pytest.raises(ConstraintViolation):
        backend.insert(ITEM, (1, "b"))
    with pytest.raises(StatementTimeout):
        backend.read(lambda s: s.execute("SELECT pg_sleep(10)"))
    with pytest.raises(psycopg.errors.UndefinedTable):
        backend.write(lambda s: s.execute("SELECT * FROM nowhere"))
    assert backend.read(lambda s: s.execute("SELECT name FROM item")) == [("a",)]
    backend.probe(Lane.READ, 5.0)
    backend.probe(Lane.WRITE, 5.0)


def test_a_full_pooler_is_seen_limits_the_lane_and_fails_no_probe(
    through: Callable[..., PostgresBackend],
    pooler: PgBouncer,
    until: Callable[[Callable[[], object]], None],
) -> None:
    backend = through(read_pool_size=8, pooler_url=pooler.console, pooler_wait_s=0.01)
    assert backend.signals(Lane.READ).slots == 8
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            backend.read(lambda s: s.execute("SELECT pg_sleep(0.05)"), Bounds(60.0, 60.0))

    threads = [threading.Thread(target=busy) for _ in range(8)]
    for one in threads:
        one.start()
    try:
        until(lambda: backend.pooler_queue().waiting > 0)
        until(lambda: backend.signals(Lane.READ).slots <= SIZE + 2)
        until(lambda: backend.pooler_queue().active == SIZE)
        assert backend.signals(Lane.WRITE).slots >= 1
        until(lambda: backend.signals(Lane.READ).waiting > 0)
    finally:
        over.set()
        for one in threads:
            one.join()
    until(lambda: backend.signals(Lane.READ).slots == 8)
    assert backend.pooler_queue().waiting == 0


def test_a_probe_that_a_full_pooler_keeps_waiting_is_no_failure(
    through: Callable[..., PostgresBackend],
    pooler: PgBouncer,
    postgres_url: str,
    until: Callable[[Callable[[], object]], None],
) -> None:
    backend = through(pooler_url=pooler.console)
    url = pooler.url(postgres_url.rpartition("/")[2])
    over = threading.Event()

    def crowd() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as one:
            while not over.is_set():
                one.execute("SELECT pg_sleep(0.1)")

    threads = [threading.Thread(target=crowd) for _ in range(16)]
    for one in threads:
        one.start()
    try:
        until(lambda: backend.pooler_queue().oldest_s > 0.3)
        backend.probe(Lane.READ, 0.1)
    finally:
        over.set()
        for one in threads:
            one.join()


def test_behind_the_pooler_a_frozen_server_and_a_dead_one_are_failures(
    fault_server: DemoServer,
    make_backend: Callable[..., PostgresBackend],
    until: Callable[[Callable[[], object]], None],
) -> None:
    with PgBouncer(fault_server.url, SETTINGS) as pooler:
        backend = make_backend(
            pooler.url("postgres"), pooled=True, pooler_url=pooler.console, statement_timeout_s=0.3
        )
        until(lambda: backend.pooler_queue().idle)
        fault_server.kill(signal.SIGSTOP)
        with ThreadPoolExecutor(4) as threads:
            fates = [threads.submit(backend.insert, ITEM, (n, "x")) for n in range(2)]
            fates += [threads.submit(backend.read, count) for _ in range(2)]
            with pytest.raises(BackendFailed):
                backend.probe(Lane.READ, 0.1)
            errors = [one.exception() for one in fates]
        assert {backend.classify(error) for error in errors} == {Outcome.FAILURE}
        fault_server.kill(signal.SIGKILL)
        with pytest.raises(BackendFailed) as failed:
            backend.read(count)
        assert backend.classify(failed.value) is Outcome.FAILURE
        with pytest.raises(BackendFailed):
            backend.probe(Lane.WRITE, 1.0)


def test_the_poolers_own_time_out_is_saturation(
    postgres_server: DemoServer, make_backend: Callable[..., PostgresBackend], observer: Recording
) -> None:
    program("pgbouncer")
    with PgBouncer(postgres_server.url, {**SETTINGS, "query_wait_timeout": 1}) as pooler:
        backend = make_backend(pooler.url("postgres"), pooled=True, opened=False)
        backend.open()
        assert backend.wait_ready(10)
        with ExitStack() as holders:
            for _ in range(SIZE):
                url = pooler.url("postgres")
                one = holders.enter_context(psycopg.connect(url, prepare_threshold=None))
                one.execute("SELECT 1")  # its transaction stays open
            with pytest.raises(BackendBusy, match="query_wait_timeout") as busy:
                backend.read(lambda s: s.execute("SELECT 1"))
        assert backend.classify(busy.value) is Outcome.NEUTRAL
        assert (Lane.READ, "busy") in observer.failures


def test_a_console_that_cannot_be_asked_is_told_once_and_limits_nothing(
    through: Callable[..., PostgresBackend],
    pooler: PgBouncer,
    caplog: pytest.LogCaptureFixture,
    until: Callable[[Callable[[], object]], None],
) -> None:
    with caplog.at_level(logging.WARNING, "guard.postgres"):
        backend = through(pooler_url=pooler.console.replace(f":{pooler.port}/", ":1/"))
        until(lambda: caplog.records)
        assert backend.read(lambda s: s.execute("SELECT 1")) == [(1,)]
    assert [record.message[:35] for record in caplog.records] == [
        "the pooler's queue can't be asked f"
    ]
    assert backend.pooler_queue() == PoolerQueue()
    assert backend.signals(Lane.READ).slots == 2


def test_nobody_looks_where_no_console_is_named(through: Callable[..., PostgresBackend]) -> None:
    backend = through()
    assert backend.pooler_queue() is None
    assert backend.lock_waits() == ()
