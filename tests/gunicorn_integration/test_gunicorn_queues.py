"""Queues that only the server sees."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from gunicorn_process import get, gunicorn

from guard import metrics
from guard.board import Board
from guard.gunicorn.queues import HostSource, backlog, executor_queue
from guard.watches.queues import QueueLength

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = QueueLength(0, 0)

BUSY_APP = """
import threading
from pathlib import Path

from guard.assembly import assemble
from guard.gunicorn import current_worker

HERE = Path(__file__).parent
worker = current_worker()
assembly = assemble(worker.settings, recorder=worker.recorder, queues=worker.queues)
worker.on_exit(assembly.close)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        while not (HERE / "release").exists():
            threading.Event().wait(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_the_backlog_of_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listener, ExitStack() as clients:
        assert backlog(listener) == (0, 7)
        for count in (1, 2, 3):
            clients.enter_context(socket.create_connection(listener.getsockname()))
            assert backlog(listener) == (count, 7)
        listener.accept()[0].close()
        assert backlog(listener) == (2, 7)


def test_what_is_no_listener_has_no_backlog() -> None:
    with socket.socket(socket.AF_UNIX) as other:
        assert backlog(other) == NOTHING
    closed = socket.create_server(("127.0.0.1", 0))
    closed.close()
    assert backlog(closed) == NOTHING


def test_the_kernels_queue_is_added_to_what_the_workers_measured() -> None:
    board, row = Board.local()
    row.set(metrics.QUEUE_DEPTH, ("executor",), 4.0)
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        source = HostSource(board, lambda: [SimpleNamespace(sock=listener), object()])
        with socket.create_connection(listener.getsockname()):
            found = {(sample.metric, sample.labels): sample.value for sample in source.collect()}
    assert found[metrics.QUEUE_DEPTH, ("kernel",)] == 1
    assert found[metrics.QUEUE_CAPACITY, ("kernel",)] == 5
    assert found[metrics.QUEUE_DEPTH, ("executor",)] == 4
    assert len(found) == len(list(board.collect()))


def test_the_executors_queue() -> None:
    free = threading.Event()
    cfg = SimpleNamespace(worker_connections=10, threads=2)
    with ThreadPoolExecutor(2) as pool:
        worker = SimpleNamespace(tpool=pool, cfg=cfg)
        for _ in range(5):
            pool.submit(free.wait, 20)
        while executor_queue(worker).depth > 3:  # type: ignore[arg-type]
            pass
        assert executor_queue(worker) == (3, 8)  # type: ignore[arg-type]
        free.set()
    assert executor_queue(SimpleNamespace(cfg=cfg)) == NOTHING  # type: ignore[arg-type]
    assert executor_queue(SimpleNamespace(cfg=cfg, tpool=None)) == NOTHING  # type: ignore[arg-type]


@pytest.mark.process
def test_requests_without_a_thread_are_seen_on_the_admin_listener(tmp_path: Path) -> None:
    with gunicorn(tmp_path, app=BUSY_APP) as server, ThreadPoolExecutor(7) as clients:
        server.wait_ready()
        assert server.metric('guard_queue_capacity{queue="kernel"}') >= 128
        assert server.metric('guard_queue_capacity{queue="executor"}') == 1000 - 4
        answers = [clients.submit(get, server.port, "/hold") for _ in range(7)]
        server.until(
            lambda: server.metric('guard_queue_depth{queue="executor"}') == 3, "three have none"
        )
        assert get(server.admin_port, "/locks") == (200, '{"waits": []}\n')
        (tmp_path / "release").touch()
        assert {answer.result()[0] for answer in answers} == {200}
        server.until(
            lambda: server.metric('guard_queue_depth{queue="executor"}') == 0, "the queue is empty"
        )


@pytest.mark.process
@pytest.mark.postgres
def test_another_process_is_told_who_blocks_whom(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE item (id integer PRIMARY KEY)")
    locking = BUSY_APP.replace(
        'if environ["PATH_INFO"] == "/hold":',
        'if environ["PATH_INFO"] == "/write":\n'
        '        assembly.database.write(lambda s: s.execute("LOCK TABLE item"))\n'
        '    if environ["PATH_INFO"] == "/hold":',
    )
    with gunicorn(
        tmp_path, app=locking, GUARD_DATABASE_URL=postgres_url, GUARD_LOCK_SAMPLE_INTERVAL="50ms"
    ) as server, ThreadPoolExecutor(1) as clients:  # fmt: skip
        server.wait_ready()
        with psycopg.connect(postgres_url, application_name="migration") as holder:
            holder.execute("LOCK TABLE item")
            answer = clients.submit(get, server.port, "/write")

            def waits() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = json.loads(get(server.admin_port, "/locks")[1])[
                    "waits"
                ]
                return found

            [wait] = server.until(waits, "somebody waits")
            server.until(
                lambda: server.metric('guard_db_lock_waiters{pool="write"}') == 1, "it is counted"
            )
        assert answer.result()[0] == 200
        server.until(lambda: not waits(), "nobody waits any more")
    assert (wait["lane"], wait["relation"], wait["query"]) == ("write", "item", "")
    assert [each["application_name"] for each in wait["blockers"]] == ["migration"]
