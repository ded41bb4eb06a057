from __future__ import annotations

import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Bounds, Session
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendClosed, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

    from .conftest import Recording

pytestmark = pytest.mark.postgres


def _unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"postgresql://nobody@127.0.0.1:{probe.getsockname()[1]}/none"


def test_before_open_and_after_close_it_is_closed(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    backend = make_backend(postgres_url, opened=False)
    assert not backend.ready
    assert backend.signals(Lane.READ) == (0, 2, 0, 0, 0)
    with pytest.raises(BackendClosed, match="not open yet") as caught:
        backend.read(lambda s: s.execute("SELECT 1"))
    assert backend.classify(caught.value) is Outcome.NEUTRAL
    backend.open()
    backend.open()
    assert backend.wait_ready(10)
    assert backend.signals(Lane.READ) == (2, 2, 0, 0, 2)
    backend.close()
    backend.close()
    assert not backend.ready
    assert backend.signals(Lane.READ).size == 0
    with pytest.raises(BackendClosed, match="is closed"):
        backend.write(lambda s: s.execute("SELECT 1"))
    with pytest.raises(BackendClosed):
        backend.open()


def test_it_is_opened_in_the_background_until_the_database_can_be_reached(
    make_backend: Callable[..., PostgresBackend],
    observer: Recording,
    until: Callable[[Callable[[], object]], None],
) -> None:
    backend = make_backend(_unused_url(), opened=False)
    backend.open()
    until(lambda: backend.opening_error)
    assert "refused" in backend.opening_error
    assert "\n" not in backend.opening_error
    assert not backend.wait_ready(0.01)
    with pytest.raises(BackendClosed, match="refused"):
        backend.read(lambda s: s.execute("SELECT 1"))
    assert (Lane.READ, "unreachable") in observer.failures
    backend.close()
    assert not backend.ready


def test_a_server_that_comes_later_is_found(
    fault_server: DemoServer, make_backend: Callable[..., PostgresBackend]
) -> None:
    fault_server.stop()
    backend = make_backend(fault_server.url, opened=False)
    backend.open()
    assert not backend.wait_ready(0.05)
    fault_server.start()
    assert backend.wait_ready(10)
    assert backend.opening_error == ""


def test_a_preparation_that_fails_is_tried_again(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    tries = []

    def prepare(session: Session) -> None:
        session.execute("CREATE TABLE prepared (id int)")
        # It has no statement time-out: a migration takes as long as it takes.
        tries.append(session.execute("SHOW statement_timeout"))
        if len(tries) == 1:
            raise ValueError("not yet")

    backend = make_backend(postgres_url, opened=False)
    backend.open(prepare)
    assert backend.wait_ready(10)
    assert tries == [[("0",)]] * 2
    assert backend.read(lambda s: s.execute("SELECT count(*) FROM prepared")) == [(0,)]


def test_two_processes_do_not_prepare_at_once(
    postgres_url: str, make_backend: Callable[..., PostgresBackend]
) -> None:
    def prepare(session: Session) -> None:
        session.execute("CREATE TABLE IF NOT EXISTS prepared (id int)")
        session.execute("INSERT INTO prepared SELECT 1 WHERE NOT EXISTS (SELECT FROM prepared)")

    backends = [make_backend(postgres_url, opened=False) for _ in range(3)]
    for backend in backends:
        backend.open(prepare)
    assert all(backend.wait_ready(10) for backend in backends)
    assert backends[0].read(lambda s: s.execute("SELECT count(*) FROM prepared")) == [(1,)]


def test_close_lets_a_running_unit_end(backend: PostgresBackend) -> None:
    inside, release = Event(), Event()

    def unit(session: Session) -> object:
        inside.set()
        release.wait(10)
        return session.execute("SELECT 1")

    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(backend.read, unit)
        assert inside.wait(10)
        closing = threads.submit(backend.close, 10)
        release.set()
        assert running.result() == [(1,)]
        closing.result()


def test_close_cuts_a_unit_that_lasts_too_long_and_refuses_who_waits(
    backend: PostgresBackend, until: Callable[[Callable[[], object]], None]
) -> None:
    with ThreadPoolExecutor(3) as threads:
        running = [
            threads.submit(backend.read, lambda s: s.execute("SELECT pg_sleep(30)"), Bounds(1, 60))
            for _ in range(2)
        ]
        until(lambda: backend.signals(Lane.READ).in_use == 2)
        waiting = threads.submit(backend.read, lambda s: s.execute("SELECT 1"), Bounds(30, 60))
        until(lambda: backend.signals(Lane.READ).waiting == 1)
        backend.close(0.01)
        with pytest.raises(BackendClosed):
            waiting.result()
        for one in running:
            with pytest.raises(BackendFailed):
                one.result()


def test_a_forked_copy_refuses_to_work_and_does_no_harm(backend: PostgresBackend) -> None:
    child = os.fork()
    if child == 0:
        told = 1
        try:
            backend.read(lambda s: s.execute("SELECT 1"))
        except BackendClosed as error:
            told = 0 if "another process" in str(error) else 2
        try:
            backend.open()
        except BackendClosed:
            backend.close()
        else:
            told = 3
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend.read(lambda s: s.execute("SELECT 1")) == [(1,)]


def test_a_pool_smaller_than_asked_is_seen_and_works(
    start_postgres: Callable[..., DemoServer],
    make_backend: Callable[..., PostgresBackend],
    observer: Recording,
    until: Callable[[Callable[[], object]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "guard.postgres")
    server = start_postgres({"max_connections": "14", "superuser_reserved_connections": "0"})
    with ExitStack() as others:
        for _ in range(8):
            others.enter_context(psycopg.connect(server.url))
        backend = make_backend(
            server.url, read_pool_size=5, write_pool_size=5, connect_timeout_s=0.3
        )
        read, write = backend.signals(Lane.READ), backend.signals(Lane.WRITE)
        assert 2 <= read.size + write.size <= 6
        assert (read.size_max, write.size_max, read.slots) == (5, 5, read.size)
        with ThreadPoolExecutor(12) as threads:
            held = threads.map(
                lambda _: backend.read(lambda s: s.execute("SELECT pg_sleep(0.01)")), range(40)
            )
            assert len(list(held)) == 40
        assert {kind for _, kind in observer.failures} <= {"unreachable", "resources"}
        until(lambda: "too many clients" in caplog.text)
    until(lambda: sum(backend.signals(lane).size for lane in Lane) == 10)
    until(lambda: "is whole again" in caplog.text)
    backend.close()
    server.stop()


def test_a_probe_answers_or_fails_in_its_time(
    backend: PostgresBackend, make_backend: Callable[..., PostgresBackend]
) -> None:
    for lane in Lane:
        backend.probe(lane, 5.0)
    away = make_backend(_unused_url(), opened=False)
    with pytest.raises(BackendFailed, match="refused"):
        away.probe(Lane.READ, 1.0)
    with pytest.raises(BackendFailed, match="in time"):
        backend.probe(Lane.WRITE, 0.000001)
    missing = make_backend("postgresql://x@/nowhere?host=/nonexistent", opened=False)
    with pytest.raises(BackendFailed, match="probe failed"):
        missing.probe(Lane.READ, 1.0)
