from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from guard.backends.base import Bounds, Session
from guard.backends.postgres import PostgresConfig, pools
from guard.backends.postgres.connection import PooledConnection
from guard.backends.postgres.keeper import Keeper
from guard.backends.postgres.pools import LanePool, is_quiet
from guard.clock import MonotonicClock
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy, BackendClosed, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.postgres import PostgresBackend

    from .conftest import Recording

    Until = Callable[[Callable[[], object]], None]


class _Breaking:
    """A pool that can't be looked after twice, and then is whole."""

    lane = Lane.READ
    size_max = live = 1
    error = "some"
    looks = 0

    def keep(self) -> bool:
        self.looks += 1
        if self.looks < 3:
            raise ValueError("unexpected")
        return True


def test_nothing_ends_the_keeper(caplog: pytest.LogCaptureFixture, until: Until) -> None:
    pool, lost = _Breaking(), Event()
    keeper = Keeper([pool], lost)  # type: ignore[list-item]
    keeper.stop(0.1)
    keeper = Keeper([pool], lost)  # type: ignore[list-item]
    keeper.start()
    until(lambda: pool.looks > 3)
    keeper.stop(5.0)
    assert "could not be looked after" in caplog.text


@pytest.fixture
def pool(postgres_url: str, observer: Recording) -> Iterator[LanePool]:
    config = PostgresConfig(write_url=postgres_url, read_pool_size=2)
    made = LanePool(Lane.READ, config, observer, MonotonicClock(), Event())
    made.open()
    yield made
    made.close(5.0)


@pytest.mark.postgres
def test_a_connection_that_was_closed_is_not_quiet(pool: LanePool) -> None:
    held = pool.take(5.0)
    assert is_quiet(held)
    held.close()
    assert not is_quiet(held)
    pool.give(held, broken=True)


@pytest.mark.postgres
def test_who_waits_inside_the_drivers_pool_is_busy_while_there_are_connections(
    pool: LanePool, observer: Recording, until: Until
) -> None:
    until(lambda: pool.live == 2)
    # Taken past the admission, as a look after an idle connection does for a moment.
    others = [pool._pool.getconn(5.0) for _ in range(2)]
    with pytest.raises(BackendBusy):
        pool.take(0.02)
    assert pool.keep()
    for other in others:
        pool._pool.putconn(other)
    assert [got for _, _, got in observer.acquires] == [False]
    assert pool.signals() == (2, 2, 0, 0, 2)


@pytest.mark.postgres
def test_a_closed_pool_is_closed_for_who_is_already_admitted(pool: LanePool, until: Until) -> None:
    until(lambda: pool.live == 2)
    pool._pool.close()
    with pytest.raises(BackendClosed):
        pool.take(1.0)
    assert pool.in_use == 0


@pytest.mark.postgres
def test_a_replaced_connection_that_a_look_finds_too_old_is_counted(
    pool: LanePool, until: Until
) -> None:
    until(lambda: pool.live == 2)
    held = pool.take(1.0)
    pool.drain()
    pool.give(held, broken=False)
    assert held.closed
    until(lambda: pool.keep() and pool.live == 2)


@pytest.mark.postgres
def test_a_rollback_that_fails_costs_only_the_connection(backend: PostgresBackend) -> None:
    def unit(session: Session) -> None:
        pid = session.execute("SELECT pg_backend_pid()")[0][0]
        backend.read(lambda s: s.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)))
        raise ValueError("the application's own")

    with pytest.raises(ValueError, match="own"):
        backend.write(unit)
    assert backend.write(lambda s: s.execute("SELECT 1")) == [(1,)]


@pytest.mark.postgres
def test_a_server_that_never_answers_is_told_at_the_opening(
    make_backend: Callable[..., PostgresBackend], until: Until
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable"
        backend = make_backend(url, opened=False, connect_timeout_s=0.05)
        backend.open()
        until(lambda: backend.opening_error)
        assert "does not answer" in backend.opening_error or "timeout" in backend.opening_error
        with pytest.raises(BackendFailed, match="in time"):
            backend.probe(Lane.READ, 0.05)
        backend.close(0.1)


@pytest.mark.postgres
def test_sessions_with_a_long_bound_keep_the_configured_timeout(
    backend: PostgresBackend,
) -> None:
    bounds = Bounds(1.0, 100.0)
    assert backend.read(lambda s: s.execute("SHOW statement_timeout"), bounds) == [("5s",)]


def test_the_keepers_pauses_are_drawn(until: Until) -> None:
    pool, waited = _Breaking(), []

    class Lost(Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return super().wait(0.001)

    draws = iter([0.0, 0.5])
    keeper = Keeper([pool], Lost(), lambda: next(draws, 0.9))  # type: ignore[list-item]
    keeper.start()
    until(lambda: len(waited) >= 5)
    keeper.stop(5.0)
    # 0.2 s, then growing pauses up to 0.5 s while the pool can't be looked after.
    assert waited[:3] == [0.2, 0.4 * 0.75, 0.5 * 0.55]


@pytest.mark.postgres
def test_a_pool_that_fills_while_a_caller_waits_gets_no_more_connections_than_it_may(
    postgres_url: str, observer: Recording, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = PooledConnection.connect.__func__  # type: ignore[attr-defined]
    refuses, answers = Event(), Event()

    def attempt(kind: object, conninfo: str, **options: Any) -> object:
        if refuses.is_set():
            error = psycopg.OperationalError("refused")
            options["on_failure"](error)
            raise error
        assert answers.wait(30)
        return connect(kind, conninfo, **options)

    refuses.set()
    monkeypatch.setattr(PooledConnection, "connect", classmethod(attempt))
    monkeypatch.setattr(pools, "MOMENT_S", 30.0)
    config = PostgresConfig(write_url=postgres_url, read_pool_size=4)
    pool = LanePool(Lane.READ, config, observer, MonotonicClock(), Event())
    pool.open()
    try:
        until(lambda: pool._pool.get_stats()["pool_size"] == 0)
        refuses.clear()
        pool.keep()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(pool.take, 30.0)
            until(lambda: pool._pool.get_stats()["requests_waiting"])
            answers.set()
            pool.give(waiting.result(), broken=False)
        until(pool.keep)
        assert pool._pool.get_stats()["pool_size"] == 4
    finally:
        pool.close(5.0)
