"""Reads from a real standby: its lag, its death and return, and what a client has written."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from programs import missing

from guard.backends.base import Bounds, Insert
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy, BackendFailed, ReadOnlyViolation
from guard.request import UNKNOWN, Mark
from guard.settings import load
from service import create_app
from service.postgres_binaries import NoPostgres
from stress.standby import promote, standby

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guard.backends.base import Row, Session
    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

pytestmark = pytest.mark.postgres

WARRIOR = {"name": "Mulan", "dob": "1998-06-19", "fight_skills": ["sword"]}
CLOSED = {"buffered": True}
"""Of a test client's request: its response is read and closed at once, as by a server."""
ITEM = Insert("item", ("id", "name"))
LAG_MAX_S = 1.0
ANSWER_S = 1.5
"""A machine that is busy must not be taken for a frozen server."""
PATIENT = Bounds(20.0, 20.0)
Until = "Callable[[Callable[[], object]], None]"


@pytest.fixture(scope="module")
def servers(
    start_postgres: Callable[[Mapping[str, str]], DemoServer],
) -> Iterator[tuple[DemoServer, DemoServer]]:
    """A primary and its standby."""
    primary = start_postgres({"fsync": "off", "autovacuum": "off"})
    with ExitStack() as stack:
        try:
            yield primary, stack.enter_context(standby(primary, {"fsync": "off"}))
        except NoPostgres as error:
            missing(str(error))


@pytest.fixture
def backend(
    servers: tuple[DemoServer, DemoServer], make_backend: Callable[..., PostgresBackend]
) -> PostgresBackend:
    """A backend whose reads go to the standby, and ``item`` empty."""
    primary, replica = servers
    made = make_backend(
        primary.url, read_url=replica.url, replica_lag_max_s=LAG_MAX_S, replica_wait_s=20.0,
        probe_timeout_s=ANSWER_S, bounds=PATIENT,
    )  # fmt: skip
    made.write(lambda s: s.execute("TRUNCATE item"))
    return made


def count(session: Session) -> list[Row]:
    return session.execute("SELECT count(*) FROM item")


def port(session: Session) -> list[Row]:
    return session.execute("SELECT inet_server_port()")


def napping(session: Session) -> list[Row]:
    return session.execute("SELECT inet_server_port() FROM pg_sleep(0.5)")


def reads_from(backend: PostgresBackend, server: DemoServer) -> bool:
    return {backend.read(port)[0][0] for _ in range(4)} == {server.port}


@contextmanager
def paused(replica: DemoServer) -> Iterator[None]:
    """The standby receives and does not replay."""
    with psycopg.connect(replica.url, autocommit=True) as admin:
        admin.execute("SELECT pg_wal_replay_pause()")
        while admin.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
            pass
        try:
            yield
        finally:
            admin.execute("SELECT pg_wal_replay_resume()")


def test_reads_go_to_the_replica_and_see_what_their_mark_says(
    servers: tuple[DemoServer, DemoServer], backend: PostgresBackend, until: Until
) -> None:
    _, replica = servers
    until(lambda: reads_from(backend, replica))
    for number in range(30):
        mark = Mark()
        backend.insert(ITEM, (number, "x"), PATIENT._replace(mark=mark))
        assert mark.moved
        assert backend.read(count, PATIENT._replace(mark=mark)) == [(number + 1,)]
    mark = Mark()
    backend.write(lambda s: s.execute("DELETE FROM item"), PATIENT._replace(mark=mark))
    with backend.stream(PATIENT._replace(mark=mark)) as session:
        assert session.execute("SELECT count(*) FROM item") == [(0,)]
    fleet = backend.fleet
    assert fleet is not None
    assert set(fleet.reads) <= {"fresh", "waited"}
    assert sum(fleet.reads.values()) == 31
    with pytest.raises(ReadOnlyViolation):
        backend.read(lambda s: s.execute("DELETE FROM item"))


def test_a_read_that_a_replica_keeps_waiting_goes_to_the_primary(
    servers: tuple[DemoServer, DemoServer], make_backend: Callable[..., PostgresBackend]
) -> None:
    primary, replica = servers
    backend = make_backend(
        primary.url, read_url=replica.url, replica_lag_max_s=600.0, replica_wait_s=0.05,
        probe_timeout_s=20.0, bounds=PATIENT,
    )  # fmt: skip
    backend.write(lambda s: s.execute("TRUNCATE item"))
    with paused(replica):
        mark = Mark()
        backend.insert(ITEM, (1, "x"), PATIENT._replace(mark=mark))
        seeing = PATIENT._replace(mark=mark)
        assert backend.read(count, seeing) == [(1,)]
        assert backend.read(port, seeing) == [(primary.port,)]
        with backend.stream(seeing) as session:
            assert session.execute("SELECT count(*) FROM item") == [(1,)]
        with pytest.raises(ReadOnlyViolation):
            backend.read(lambda s: s.execute("DELETE FROM item"), seeing)
        tried = "WITH gone AS (DELETE FROM item RETURNING id) SELECT id FROM gone"
        with pytest.raises(ReadOnlyViolation):
            backend.read(lambda s: s.execute(tried), seeing)
        assert backend.read(port, PATIENT._replace(mark=Mark(UNKNOWN))) == [(primary.port,)]
        assert backend.read(count) == [(0,)], "without a mark a replica's state will do"
    fleet = backend.fleet
    assert fleet is not None
    assert fleet.reads == {"primary": 6}


def test_a_read_that_fails_with_no_time_left_is_a_failure_and_no_time_out(
    backend: PostgresBackend,
) -> None:
    runs: list[int] = []

    def cut(session: Session) -> list[Row]:
        runs.append(1)
        if len(runs) > 1:
            return session.execute("SELECT 1")
        raise BackendFailed("the connection was cut")

    with pytest.raises(BackendFailed, match="was cut"):
        backend.read(cut, PATIENT._replace(within_s=1e-9))
    runs.clear()
    assert backend.read(cut) == [(1,)], "with time it is run once more"


def test_a_replica_that_lags_leaves_and_comes_back(
    servers: tuple[DemoServer, DemoServer], backend: PostgresBackend, until: Until
) -> None:
    primary, replica = servers
    until(lambda: reads_from(backend, replica))
    with paused(replica):
        backend.insert(ITEM, (1, "x"))
        until(lambda: reads_from(backend, primary))
        assert backend.read(count) == [(1,)]
        with pytest.raises(ReadOnlyViolation):
            backend.read(lambda s: s.execute("DELETE FROM item"))
        fleet = backend.fleet
        assert fleet is not None
        [known] = fleet.known.values()
        assert known.lag_s > LAG_MAX_S
    until(lambda: reads_from(backend, replica))
    until(lambda: backend.signals(Lane.READ).size == 2)


def test_a_replica_that_freezes_and_dies_leaves_and_comes_back(
    servers: tuple[DemoServer, DemoServer], backend: PostgresBackend, until: Until
) -> None:
    primary, replica = servers
    until(lambda: reads_from(backend, replica))
    with ThreadPoolExecutor(2) as threads:
        slow = [threads.submit(backend.read, napping) for _ in range(2)]
        until(lambda: backend.signals(Lane.READ).in_use == 2)
        replica.kill(signal.SIGSTOP)
        until(lambda: backend.fleet.allowed() == ["primary"])
        # Whoever waited for the frozen replica is served by the primary.
        assert [one.result() for one in slow] == [[(primary.port,)]] * 2
    until(lambda: reads_from(backend, primary))
    backend.probe(Lane.READ, 5.0)
    replica.kill(signal.SIGKILL)
    replica.start()
    until(lambda: reads_from(backend, replica))


def test_a_client_of_the_service_reads_what_it_wrote(
    servers: tuple[DemoServer, DemoServer], until: Until
) -> None:
    primary, replica = servers
    settings = load(
        {
            "GUARD_DATABASE_URL": primary.url, "GUARD_DATABASE_READ_URL": replica.url,
            "GUARD_REPLICA_LAG_MAX": "600", "GUARD_REPLICA_WAIT": "50ms", "GUARD_WORKERS": "1",
            "GUARD_READ_YOUR_WRITES_KEY": "sixteen-letters-or-more",
        }
    ).settings  # fmt: skip
    app = create_app(settings)
    assembly = app.extensions["guard"]
    try:
        assert assembly.wait_ready(30), assembly.why_not_ready
        # The migrations must be there before the replica stops to replay.
        until(lambda: app.test_client().get("/counting-warriors", **CLOSED).status_code == 200)
        client, other = app.test_client(), app.test_client()
        with paused(replica):
            created = client.post("/warrior", json=WARRIOR, **CLOSED)
            assert created.status_code == 201
            where = created.headers["Location"]
            assert client.get(where, **CLOSED).get_json()["name"] == "Mulan"
            assert other.get(where, **CLOSED).status_code == 404, "it is behind"
        assert client.get(where, **CLOSED).status_code == 200
    finally:
        assembly.close()


def test_a_fail_over_is_followed(
    servers: tuple[DemoServer, DemoServer],
    make_backend: Callable[..., PostgresBackend],
    until: Until,
) -> None:
    primary, replica = servers
    hosts = f"@127.0.0.1:{primary.port},127.0.0.1:{replica.port}/"
    both = primary.url.replace(f"@127.0.0.1:{primary.port}/", hosts)
    backend = make_backend(
        both, read_url=both, replica_lag_max_s=LAG_MAX_S, replica_wait_s=0.05,
        probe_timeout_s=ANSWER_S, bounds=PATIENT,
    )  # fmt: skip
    mark = Mark()
    bounds = PATIENT._replace(mark=mark)
    backend.write(lambda s: s.execute("TRUNCATE item"), bounds)
    until(lambda: {backend.read(port)[0][0] for _ in range(8)} == {primary.port, replica.port})
    assert backend.read(count, bounds) == [(0,)]
    # Frozen: a driver that tries one host after the other would not get past it.
    primary.kill(signal.SIGSTOP)
    until(lambda: backend.fleet.allowed() == [f"127.0.0.1:{replica.port}"])
    with pytest.raises(BackendBusy):
        backend.read(count, Bounds(0.5, 0.5, mark=Mark(UNKNOWN)))
    promote(replica)

    def written() -> bool:
        try:
            backend.insert(ITEM, (1, "x"), Bounds(1.0, 1.0, mark=mark))
        except Exception:  # noqa: BLE001 - until it is
            return False
        return True

    until(written)
    assert backend.read(count, bounds) == [(1,)]
    primary.kill(signal.SIGCONT)
    # The old primary takes writes that nobody will ever see, and is not read from.
    with psycopg.connect(primary.url, autocommit=True) as admin:
        admin.execute("INSERT INTO item VALUES (2, 'lost')")
    until(lambda: not backend.fleet.known[f"127.0.0.1:{primary.port}"].in_rotation)
    assert reads_from(backend, replica)
