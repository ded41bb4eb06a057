"""A real gunicorn whose settings' file changes while it serves."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from gunicorn_process import Gunicorn, get, gunicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

APP = """
import json
import os

from guard.assembly import assemble
from guard.core.vocabulary import Lane
from guard.gunicorn import current_worker

worker = current_worker()
assembly = assemble(
    worker.settings, recorder=worker.recorder, queues=worker.queues, live=worker.live
)
worker.on_exit(assembly.close)


def app(environ, start_response):
    rules = assembly.controller.rules
    found = [os.getpid(), rules.lanes[Lane.READ].wait_budget_s, rules.deadline_s, rules.mode]
    body = json.dumps(found).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


app = assembly.wrap(app)
"""
# Budgets so long that a busy machine is no reason to refuse anything.
SIZES = {
    "GUARD_WORKERS": "2", "GUARD_READ_POOL_SIZE": "4", "GUARD_READ_WAITERS": "4",
    "GUARD_THREADS": "16", "GUARD_WRITE_WAIT_BUDGET": "30s", "GUARD_DEADLINE": "30s",
}  # fmt: skip


def write(file: Path, **settings: str) -> None:
    """Replace the file in one step, as an operator should."""
    new = file.with_suffix(".new")
    new.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    new.replace(file)


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[tuple[Gunicorn, Path]]:
    file = folder / "guard.env"
    write(file, **settings)
    environ = SIZES | {"GUARD_CONFIG_FILE": str(file)}
    with gunicorn(folder, app=APP, **environ) as server:
        server.wait_ready(2)
        yield server, file


@contextmanager
def load(port: int) -> Iterator[list[int]]:
    """Send requests one after the other from four clients; yields the answers' statuses."""
    statuses: list[int] = []
    end = threading.Event()

    def ask() -> None:
        while not end.wait(0.005):
            try:
                statuses.append(get(port, "/")[0])
            except OSError:
                statuses.append(0)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        end.set()
        for client in clients:
            client.join()


def wait_for(server: Gunicorn, budget_s: float, workers: int = 2) -> set[int]:
    """Wait until so many workers tell the budget and none an older one; return their pids."""
    told: dict[int, float] = {}

    def all_have_it() -> bool:
        pid, found_s, *_ = json.loads(get(server.port, "/")[1])
        told[pid] = found_s
        living = server.pids()
        return sum(told.get(each) == budget_s for each in living) >= workers == len(living)

    server.until(all_have_it, f"every worker has the budget {budget_s}")
    return server.pids()


def config(server: Gunicorn, name: str) -> float:
    return server.metric(f"guard_config_{name}")


def test_a_change_reaches_every_worker_and_fails_no_request(tmp_path: Path) -> None:
    with served(tmp_path, GUARD_READ_WAIT_BUDGET="20s") as (server, file):
        before = wait_for(server, 20.0)
        assert config(server, "generation") == 1
        with load(server.port) as statuses:
            write(file, GUARD_READ_WAIT_BUDGET="25s", GUARD_DEADLINE="4s")
            after = wait_for(server, 25.0)
            server.until(lambda: config(server, "generation") == 2, "the generation is told")
        assert after == before, "no worker was restarted"
        assert set(statuses) == {200}
        assert json.loads(get(server.port, "/")[1])[2:] == [30.0, "enforce"], "environment wins"
        assert server.output.count("generation 2") == 1, "one line for all workers"

        write(file, GUARD_READ_WAIT_BUDGET="fast", GUARD_MODE="shadow", GUARD_TYPO="1")
        server.until(lambda: "settings not taken" in server.output, "the refusal is told")
        server.until(lambda: config(server, "last_reload_successful") == 0, "and exported")
        line = next(each for each in server.lines if "settings not taken" in each)
        assert "GUARD_READ_WAIT_BUDGET" in line
        assert "GUARD_TYPO" in line
        assert config(server, "generation") == 2
        assert json.loads(get(server.port, "/")[1])[1:] == [25.0, 30.0, "enforce"]

        write(file, GUARD_READ_WAIT_BUDGET="25s", GUARD_STATEMENT_TIMEOUT="1s")
        server.until(lambda: config(server, "restart_needed") == 1, "the waiting one is told")
        assert "GUARD_STATEMENT_TIMEOUT" in server.output
        assert config(server, "last_reload_successful") == 1
        assert config(server, "generation") == 2


def test_a_worker_that_starts_later_has_the_changed_settings(tmp_path: Path) -> None:
    with served(tmp_path, GUARD_READ_WAIT_BUDGET="20s") as (server, file):
        write(file, GUARD_READ_WAIT_BUDGET="25s")
        pids = wait_for(server, 25.0)
        os.kill(min(pids), signal.SIGKILL)
        server.until(lambda: server.pids() - pids, "a worker takes its place")
        server.wait_ready(2)
        assert wait_for(server, 25.0) != pids
        assert config(server, "generation") == 2


def test_a_reload_takes_what_a_change_of_the_file_can_not(tmp_path: Path) -> None:
    with served(tmp_path, GUARD_READ_WAIT_BUDGET="20s") as (server, file):
        before = wait_for(server, 20.0)
        write(file, GUARD_READ_WAIT_BUDGET="25s", GUARD_STATEMENT_TIMEOUT="1s")
        server.until(lambda: config(server, "restart_needed") == 1, "one setting waits")
        with load(server.port) as statuses:
            server.signal(signal.SIGHUP)
            server.until(lambda: not server.pids() & before, "the old workers have gone")
            server.wait_ready(2)
        server.until(lambda: config(server, "restart_needed") == 0, "nothing waits any more")
        assert wait_for(server, 25.0).isdisjoint(before)
        assert statuses.count(503) == 0
        assert config(server, "generation") == 3

        write(file, GUARD_READ_WAIT_BUDGET="fast")
        server.signal(signal.SIGHUP)
        server.until(lambda: config(server, "last_reload_successful") == 0, "the refusal is told")
        server.wait_ready(2)
        assert wait_for(server, 25.0)
        assert config(server, "generation") == 3
