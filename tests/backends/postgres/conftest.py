"""Fixtures for PostgreSQL's own tests."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from guard.backends.base import Bounds
from guard.backends.postgres import PostgresBackend, PostgresConfig
from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guard.backends.base import Session
    from guard.core.vocabulary import Lane, Outcome
    from service.demo_postgres import DemoServer


class Recording:
    """A PoolObserver that keeps what it heard."""

    def __init__(self) -> None:
        self.acquires: list[tuple[Lane, float, bool]] = []
        self.releases: list[tuple[Lane, float, Outcome]] = []
        self.queries: list[tuple[Lane, float, Outcome]] = []
        self.failures: list[tuple[Lane, str]] = []
        self.disconnects: list[Lane] = []
        self.locks: list[tuple[Lane, int, float, float]] = []

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        self.acquires.append((lane, waited_s, got))

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        self.releases.append((lane, held_s, outcome))

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        self.queries.append((lane, took_s, outcome))

    def failed(self, lane: Lane, kind: str) -> None:
        self.failures.append((lane, kind))

    def disconnected(self, lane: Lane) -> None:
        self.disconnects.append(lane)

    def batched(self, size: int) -> None:
        raise NotImplementedError(size)

    def lock_waited(self, lane: Lane, waited_s: float) -> None:
        raise NotImplementedError(lane, waited_s)

    def locks_sampled(self, lane: Lane, waiters: int, oldest_s: float, waited_s: float) -> None:
        self.locks.append((lane, waiters, oldest_s, waited_s))


@pytest.fixture
def observer() -> Recording:
    return Recording()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds, at most 30 s."""

    def wait(condition: Callable[[], object]) -> None:
        pause = threading.Event()
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "it never came true"
            pause.wait(0.005)

    return wait


@pytest.fixture
def make_backend(observer: Recording) -> Iterator[Callable[..., PostgresBackend]]:
    """Makes backends; all are closed afterwards."""
    made: list[PostgresBackend] = []

    def make(url: str, *, opened: bool = True, **options: object) -> PostgresBackend:
        values: dict[str, Any] = {
            "read_pool_size": 2,
            "write_pool_size": 2,
            "bounds": Bounds(2.0, 5.0),
            **options,
        }
        backend = PostgresBackend(
            PostgresConfig(write_url=url, **values), observer, MonotonicClock()
        )
        made.append(backend)
        if opened:
            backend.open(_table)
            assert backend.wait_ready(10), backend.opening_error
        return backend

    yield make
    for backend in made:
        backend.close(2.0)


def _table(session: Session) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS item (id integer PRIMARY KEY, name text)")


@pytest.fixture
def backend(postgres_url: str, make_backend: Callable[..., PostgresBackend]) -> PostgresBackend:
    """An open backend with 2 + 2 connections and the table ``item``."""
    return make_backend(postgres_url)


@pytest.fixture(scope="session")
def _fault_server(start_postgres: Callable[[Mapping[str, str]], DemoServer]) -> DemoServer:
    return start_postgres({"fsync": "off"})


@pytest.fixture
def fault_server(_fault_server: DemoServer) -> Iterator[DemoServer]:
    """A server of its own that a test may freeze, restart and kill."""
    if not _fault_server.pid:
        _fault_server.start()
    yield _fault_server
    _fault_server.stop()
