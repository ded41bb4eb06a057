"""Every row of PostgreSQL's table of errors, provoked on a real server.

What no server does to order (a damaged index, a broken device) it is told to raise.
"""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from guard.backends.base import Bounds
from guard.backends.postgres import errors
from guard.backends.postgres.errors import judge
from guard.core.vocabulary import Lane
from guard.errors import BackendError, BackendFailed, ReadOnlyViolation, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Session
    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

    from .conftest import Recording

    Act = Callable[[PostgresBackend], object]
    Make = Callable[..., PostgresBackend]
    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.postgres


def sql(*statements: str) -> Act:
    """Run statements in one write unit."""

    def unit(session: Session) -> None:
        for statement in statements:
            session.execute(statement)

    return lambda backend: backend.write(unit)


def raised(state: str) -> Act:
    """Let the server raise an error."""
    return sql(f"DO $$ BEGIN RAISE EXCEPTION 'to order' USING ERRCODE = '{state}'; END $$")


def waits_first(setting: str, begin: str = "SELECT 1") -> Act:
    """Leave the session idle for longer than it may."""

    def unit(session: Session) -> None:
        session.execute(f"SELECT set_config('{setting}', '20ms', false)")
        session.execute(begin)
        threading.Event().wait(0.2)
        session.execute("SELECT 1")

    if setting == "idle_session_timeout":
        return lambda backend: backend.read(unit)
    return lambda backend: backend.write(unit)


def lost_race(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT * FROM item")
        with ThreadPoolExecutor(1) as other:
            other.submit(sql("UPDATE item SET name = 'other'"), backend).result(10)
        session.execute("UPDATE item SET name = 'own'")

    backend.write(unit)


def deadlock(backend: PostgresBackend) -> None:
    both = threading.Barrier(2, timeout=10)

    def unit(first: int, second: int) -> None:
        def run(session: Session) -> None:
            session.execute("SET LOCAL deadlock_timeout = '50ms'")
            session.execute("UPDATE item SET name = 'x' WHERE id = %s", (first,))
            both.wait()
            session.execute("UPDATE item SET name = 'x' WHERE id = %s", (second,))

        backend.write(run)

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(unit, *ids) for ids in ((1, 2), (2, 1))]
        found = [error for call in calls if (error := call.exception(10)) is not None]
    raise found[0]


def locked(backend: PostgresBackend) -> None:
    def unit(_: Session) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(
                sql("SET LOCAL lock_timeout = '20ms'", "UPDATE item SET name = 'x'"), backend
            ).result(10)

    backend.write(lambda s: (s.execute("LOCK TABLE item"), unit(s)))


def nonsense(backend: PostgresBackend) -> None:
    """A message that no well-behaved driver sends."""
    pool = backend._pools[Lane.WRITE]
    held = pool.take(5.0)
    try:
        result = held.pgconn.exec_params(b"SELECT $1::int, $2::int", [b"1"])
        raise psycopg.errors.error_from_result(result)
    finally:
        pool.give(held, broken=True)


class Case(NamedTuple):
    """What is done, and how the caller's error must look."""

    act: Act
    outcome: str
    kind: str
    gets: type[BaseException]


PROVOKED = {
    "08": Case(nonsense, "failure", "unreachable", psycopg.errors.ProtocolViolation),
    "23": Case(sql("INSERT INTO item VALUES (1, 'a')"), "ok", "constraint",
               psycopg.errors.UniqueViolation),
    "25006": Case(lambda b: b.read(lambda s: s.execute("SELECT lo_create(0)")), "ok",
                  "read_only", ReadOnlyViolation),
    "25006 on the write lane": Case(
        sql("SET TRANSACTION READ ONLY", "DELETE FROM item"), "failure", "read_only",
        BackendFailed),
    "25P03": Case(waits_first("idle_in_transaction_session_timeout"), "neutral", "timeout",
                  StatementTimeout),
    "25P04": Case(sql("SET LOCAL transaction_timeout = '20ms'", "SELECT pg_sleep(5)"), "neutral",
                  "timeout", StatementTimeout),
    "40": Case(raised("40003"), "neutral", "conflict",
               psycopg.errors.StatementCompletionUnknown),
    "40001": Case(lost_race, "neutral", "conflict", psycopg.errors.SerializationFailure),
    "40P01": Case(deadlock, "neutral", "conflict", psycopg.errors.DeadlockDetected),
    "53": Case(raised("53000"), "failure", "resources", BackendFailed),
    "53100": Case(sql("COPY (SELECT repeat('x', 100000)) TO '/dev/full'"), "failure",
                  "resources", BackendFailed),
    "53200": Case(sql("SELECT pg_advisory_xact_lock(n) FROM generate_series(1, 1000000) n"),
                  "failure", "resources", BackendFailed),
    "53300": Case(raised("53300"), "failure", "resources", BackendFailed),
    "53400": Case(
        sql("SET LOCAL temp_file_limit = '100kB'", "SET LOCAL work_mem = '64kB'",
            "SELECT count(*) FROM (SELECT repeat(n::text, 99) FROM generate_series(1, 9999) n "
            "ORDER BY 1) x"),
        "neutral", "resources", psycopg.errors.ConfigurationLimitExceeded),
    "55P03": Case(locked, "neutral", "conflict", psycopg.errors.LockNotAvailable),
    "57014": Case(lambda b: b.read(lambda s: s.execute("SELECT pg_sleep(9)"), Bounds(5.0, 0.05)),
                  "neutral", "timeout", StatementTimeout),
    "57P": Case(raised("57P04"), "failure", "unreachable", BackendFailed),
    "57P01": Case(sql("SELECT pg_terminate_backend(pg_backend_pid())"), "failure",
                  "unreachable", BackendFailed),
    "57P05": Case(waits_first("idle_session_timeout"), "neutral", "timeout", StatementTimeout),
    "58": Case(raised("58030"), "failure", "resources", BackendFailed),
    "XX": Case(raised("XX000"), "neutral", "internal", psycopg.errors.InternalError_),
    "XX001": Case(raised("XX001"), "failure", "internal", BackendFailed),
    "XX002": Case(raised("XX002"), "failure", "internal", BackendFailed),
    "any other": Case(sql("SELEC 1"), "ok", "statement", psycopg.errors.SyntaxError),
}  # fmt: skip


@pytest.mark.parametrize("row", PROVOKED)
def test_a_row(row: str, backend: PostgresBackend, observer: Recording) -> None:
    case = PROVOKED[row]
    sql("INSERT INTO item VALUES (1, 'a'), (2, 'b')")(backend)
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- its type is asked below
        case.act(backend)
    assert type(caught.value) is case.gets
    assert (backend.classify(caught.value).value, judge(caught.value).kind) == case[1:3]
    cause = caught.value.__cause__ or caught.value
    state = getattr(cause, "sqlstate", None) or ""
    assert row == "any other" or state.startswith(row[:5].strip())
    if case.act is not nonsense:  # not through a session
        assert {kind for _, kind in observer.failures} == {case.kind}
    # Whatever it was, the lanes work on.
    assert backend.read(lambda s: s.execute("SELECT count(*) FROM item")) == [(2,)]


def test_every_row_is_provoked() -> None:
    rows = {row.sign for row in errors.STATES}
    assert rows == {name for name in PROVOKED if " " not in name}


@pytest.fixture
def faulty(fault_server: DemoServer, make_backend: Make) -> PostgresBackend:
    return make_backend(fault_server.url)


def test_a_killed_server(faulty: PostgresBackend, fault_server: DemoServer, until: Until) -> None:
    def unit(session: Session) -> None:
        session.execute("SELECT 1")
        fault_server.kill(9)
        session.execute("SELECT 1")

    with pytest.raises(BackendFailed) as caught:
        faulty.write(unit)
    assert judge(caught.value) == ("failure", "unreachable")
    # A process of the server may just have had the time to say so.
    assert getattr(caught.value.__cause__, "sqlstate", "") in {None, "57P01"}
    until(lambda: "refused" in faulty._pools[Lane.READ].error)
    with pytest.raises(BackendFailed, match="refused") as caught:
        faulty.read(lambda s: s.execute("SELECT 1"))
    assert judge(caught.value) == ("failure", "unreachable")


def test_too_many_connections(postgres_url: str, make_backend: Make, until: Until) -> None:
    base = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS few")
        admin.execute("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
        admin.execute(f"GRANT ALL ON DATABASE {base} TO few")
        host = postgres_url.partition("@")[2]
        backend = make_backend(f"postgresql://few:few@{host}", opened=False)
        backend.open()
        until(lambda: "too many connections for role" in backend.opening_error)
        backend.close()
        admin.execute(f"REVOKE ALL ON DATABASE {base} FROM few")
        admin.execute("DROP ROLE few")


def test_a_server_that_is_full(fault_server: DemoServer) -> None:
    with ExitStack() as many, pytest.raises(psycopg.OperationalError) as caught:  # noqa: PT012
        while True:
            many.enter_context(psycopg.connect(fault_server.url))
    assert caught.value.sqlstate is None
    assert judge(caught.value) == ("failure", "resources")


def test_files_that_may_not_grow(
    fault_server: DemoServer, make_backend: Make, observer: Recording
) -> None:
    fault_server.stop()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Enough for a segment of the log, and not for much more.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 2**20 + 100, before[1]))
    try:
        fault_server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    backend = make_backend(fault_server.url)
    big = "SELECT repeat(n::text, 300) FROM generate_series(1, 20000) n"
    for statements in (
        (f"CREATE TEMP TABLE big AS {big}",),
        ("SET LOCAL work_mem = '64kB'", f"SELECT count(*) FROM ({big} ORDER BY 1) x"),
    ):
        observer.failures.clear()
        with pytest.raises(BackendFailed, match="too large") as caught:
            sql(*statements)(backend)
        assert judge(caught.value) == ("failure", "resources")
        assert observer.failures == [(Lane.WRITE, "resources")]


def test_damaged_and_missing_files(fault_server: DemoServer, make_backend: Make) -> None:
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        names = {}
        for table in ("damaged", "missing"):
            admin.execute(f"DROP TABLE IF EXISTS {table}")
            admin.execute(f"CREATE TABLE {table} AS SELECT 1 AS one")
            row = admin.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone()
            assert row is not None
            names[table] = fault_server.data_dir / row[0]
    fault_server.stop()
    with names["damaged"].open("r+b") as file:
        file.seek(4096)
        file.write(b"scribble" * 100)
    names["missing"].rename(names["missing"].with_suffix(".away"))
    fault_server.start()
    backend = make_backend(fault_server.url)
    for table, state, kind in (("damaged", "XX001", "internal"), ("missing", "58P01", "resources")):
        with pytest.raises(BackendError) as caught:
            backend.read(lambda s, table=table: s.execute(f"SELECT * FROM {table}"))  # type: ignore[misc]
        assert getattr(caught.value.__cause__, "sqlstate", "") == state
        assert judge(caught.value) == ("failure", kind)
    backend.close()
    names["missing"].with_suffix(".away").rename(names["missing"])
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        admin.execute("DROP TABLE damaged, missing")
