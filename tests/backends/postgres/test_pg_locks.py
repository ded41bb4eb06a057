from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Bounds, Insert
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

    from .conftest import Recording

    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.postgres
LOCKING = "UPDATE item SET name = 'x' WHERE id = 1"


def test_lock_waits_are_counted_and_integrated(
    postgres_url: str,
    make_backend: Callable[..., PostgresBackend],
    observer: Recording,
    until: Until,
) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02)
    backend.insert(Insert("item", ("id", "name")), (1, "a"))
    with ThreadPoolExecutor(2) as threads, psycopg.connect(postgres_url) as other:
        other.execute(LOCKING)
        started = time.monotonic()
        waiting = [threads.submit(backend.write, lambda s: s.execute(LOCKING)) for _ in range(2)]
        until(lambda: any(oldest_s > 0.3 for _, _, oldest_s, _ in observer.locks))
        other.commit()
        for one in waiting:
            one.result()
        waited = time.monotonic() - started
    until(lambda: observer.locks[-1][1:] == (0, 0.0, 0.0))
    assert {lane for lane, *_ in observer.locks} == {Lane.WRITE}
    assert max(waiters for _, waiters, _, _ in observer.locks) == 2
    # Two waited, most of the time; the bounds are as wide as the machine may be busy.
    assert 0.3 < sum(waited_s for *_, waited_s in observer.locks) < 2 * waited + 0.5


def test_waits_of_others_are_not_ours(
    postgres_url: str,
    make_backend: Callable[..., PostgresBackend],
    observer: Recording,
    until: Until,
) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02)
    backend.insert(Insert("item", ("id", "name")), (1, "a"))
    release = Event()
    with (
        ThreadPoolExecutor(2) as threads,
        psycopg.connect(postgres_url) as first,
        psycopg.connect(postgres_url) as second,
    ):
        first.execute(LOCKING)
        stranger = threads.submit(second.execute, LOCKING)
        busy = threads.submit(backend.read, lambda _: release.wait(10))
        with psycopg.connect(postgres_url, autocommit=True) as look:
            until(lambda: look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            seen = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'guard-locks'"
            until(lambda: look.execute(seen).fetchone())
        first.rollback()
        stranger.result()
        release.set()
        busy.result()
    assert observer.locks == []


def test_a_frozen_server_ends_no_sampler(
    fault_server: DemoServer,
    make_backend: Callable[..., PostgresBackend],
    observer: Recording,
    until: Until,
) -> None:
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS item")
    backend = make_backend(fault_server.url, lock_sample_s=0.02)
    backend.insert(Insert("item", ("id", "name")), (1, "a"))

    def wait_for_a_lock(ready: Callable[[], object]) -> None:
        with ThreadPoolExecutor(1) as threads, psycopg.connect(fault_server.url) as other:
            other.execute(LOCKING)
            bounds = Bounds(5.0, 10.0)
            waiting = threads.submit(backend.write, lambda s: s.execute(LOCKING), bounds)
            until(ready)
            other.commit()
            waiting.result()

    wait_for_a_lock(lambda: observer.locks)
    fault_server.kill(signal.SIGKILL)
    fault_server.start()
    seen = len(observer.locks)
    until(lambda: backend.signals(Lane.WRITE).size == 2)
    wait_for_a_lock(lambda: any(lock[1] for lock in observer.locks[seen + 1 :]))


def test_locks_of_another_read_host_are_not_looked_at(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    backend = make_backend(postgres_url, read_url=f"{postgres_url}?application_name=reads")
    assert set(backend._sampled()) == {Lane.WRITE}
