from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Bounds, Insert
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendError, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

    from .conftest import Recording

    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.postgres
ITEM = Insert("item", ("id", "name"))


@pytest.fixture
def faulty(
    fault_server: DemoServer, make_backend: Callable[..., PostgresBackend]
) -> PostgresBackend:
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS item")
    return make_backend(fault_server.url)


def _works(backend: PostgresBackend) -> bool:
    try:
        return backend.read(lambda s: s.execute("SELECT 1")) == [(1,)]
    except BackendError:
        return False


def _whole(backend: PostgresBackend) -> bool:
    return all(backend.signals(lane) == (2, 2, 0, 0, 2) for lane in Lane)


def test_calls_to_a_frozen_server_end_and_work_again_after_it(
    faulty: PostgresBackend, fault_server: DemoServer, until: Until
) -> None:
    fault_server.kill(signal.SIGSTOP)
    started = time.monotonic()
    for call in (faulty.read, faulty.write):
        with pytest.raises(BackendFailed, match="cut") as caught:
            call(lambda s: s.execute("SELECT 1"), Bounds(1.0, 0.1))
        assert faulty.classify(caught.value) is Outcome.FAILURE
    with pytest.raises(BackendFailed, match="unknown"):
        faulty.insert(ITEM, (1, "a"), Bounds(1.0, 0.1))
    with pytest.raises(BackendFailed, match="in time"):
        faulty.probe(Lane.READ, 0.1)
    # Far from the 5 s of the statement time-out, let alone for ever.
    assert time.monotonic() - started < 4
    fault_server.kill(signal.SIGCONT)
    until(lambda: _works(faulty))
    until(lambda: _whole(faulty))


def test_a_stream_from_a_frozen_server_ends(
    faulty: PostgresBackend, fault_server: DemoServer
) -> None:
    with (  # noqa: PT012 -- the block itself is what fails
        pytest.raises(BackendFailed),
        faulty.stream(Bounds(1.0, 0.3)) as session,
    ):
        rows = session.rows("SELECT * FROM generate_series(1, 100000)", chunk=10)
        assert next(rows) == (1,)
        fault_server.kill(signal.SIGSTOP)
        list(rows)
    fault_server.kill(signal.SIGCONT)
    assert _works(faulty)


def test_no_request_fails_for_a_restart_between_requests(
    faulty: PostgresBackend, fault_server: DemoServer, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faulty._keeper, "_keep", lambda _: True)
    fault_server.restart()
    # Every connection is dead, and nobody has been told.
    for number in range(6):
        assert faulty.read(lambda s: s.execute("SELECT 1")) == [(1,)]
        faulty.insert(ITEM, (number, "a"))
    monkeypatch.undo()
    until(lambda: _whole(faulty))


def test_dead_connections_are_found_and_replaced_without_a_request(
    faulty: PostgresBackend, fault_server: DemoServer, observer: Recording, until: Until
) -> None:
    before = set(faulty._pools[Lane.READ].pids)
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%s)",
                      (list(before),))  # fmt: skip
    until(lambda: _whole(faulty) and not before & set(faulty._pools[Lane.READ].pids))
    assert observer.acquires[-1][2]


def test_while_the_server_is_gone_calls_fail_at_once_and_then_work_again(
    faulty: PostgresBackend, fault_server: DemoServer, observer: Recording, until: Until
) -> None:
    fault_server.kill(signal.SIGKILL)
    until(lambda: faulty.signals(Lane.READ).size == faulty.signals(Lane.WRITE).size == 0)
    until(lambda: not _works(faulty))
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(lambda _: _works(faulty), range(200)))
    # Waiting out a time-out each would take 200 x 2 s / 8.
    assert time.monotonic() - started < 5
    with pytest.raises(BackendFailed, match="refused") as caught:
        faulty.read(lambda s: s.execute("SELECT 1"))
    assert faulty.classify(caught.value) is Outcome.FAILURE
    assert observer.failures[-1][1] == "unreachable"
    # The breakers hear of it although no request comes through any more.
    until(lambda: set(observer.disconnects) == set(Lane))
    with pytest.raises(BackendFailed):
        faulty.probe(Lane.WRITE, 1.0)
    fault_server.start()
    until(lambda: _works(faulty))
    until(lambda: _whole(faulty))


def test_what_was_acknowledged_survives_the_servers_death(
    faulty: PostgresBackend, fault_server: DemoServer, until: Until
) -> None:
    for number in range(20):
        faulty.insert(ITEM, (number, "a"))
    fault_server.kill(signal.SIGKILL)
    fault_server.start()
    until(lambda: _works(faulty))
    assert faulty.read(lambda s: s.execute("SELECT count(*) FROM item")) == [(20,)]
