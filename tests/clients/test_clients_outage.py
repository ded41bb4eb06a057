"""Every client of the guide, by its example, through an outage: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from client_examples import SERVICE as SERVED
from client_examples import Answer, Example, Write, examples, key_example, run
from programs import program

from service.postgres_process import free_port
from stress.server import SERVICE, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from service.demo_postgres import DemoServer

OUTAGE_S = 10.0
EACH = 5
"""Writes that each client has under way at once."""
EXAMPLES = examples()

pytestmark = [pytest.mark.process]


class Crowd:
    """Every client of the guide, each with writes of its own, at the same time."""

    def __init__(self, url: str, node: Callable[[], Path]) -> None:
        self._url = url
        self._node = node
        self._pool = ThreadPoolExecutor(len(EXAMPLES))
        self.writes: dict[str, list[Write]] = {client: [] for client in EXAMPLES}
        self.answers: dict[str, list[tuple[int, Answer]]] = {client: [] for client in EXAMPLES}
        node()

    def send(self, each: int) -> Callable[[], None]:
        """Let each client send ``each`` new writes; return what waits for their answers."""
        new = {client: [self._write(client) for _ in range(each)] for client in EXAMPLES}
        running = {
            client: self._pool.submit(self._run, EXAMPLES[client], writes)
            for client, writes in new.items()
        }

        def wait() -> None:
            for client, answers in running.items():
                self.answers[client] += answers.result()

        return wait

    def _run(self, example: Example, writes: list[Write]) -> list[Any]:
        return run(example, self._url, writes, self._node)

    def _write(self, client: str) -> Write:
        name = f"{client} {len(self.writes[client])}"
        write = Write({"name": name, "dob": "1999-12-31", "fight_skills": [client]}, str(uuid4()))
        self.writes[client].append(write)
        return write

    def check(self, stored: Counter[tuple[str, str]]) -> None:
        """Every write has been answered 201 with its own warrior, and is stored once."""
        told: Counter[tuple[str, str]] = Counter()
        for client, writes in self.writes.items():
            answers = self.answers[client]
            assert [status for status, _ in answers] == [201] * len(writes), (client, answers)
            assert [answer["name"] for _, answer in answers] == [
                write.warrior["name"] for write in writes
            ]
            told.update((answer["name"], answer["id"]) for _, answer in answers)
        assert stored == told
        assert set(stored.values()) == {1}

    def repeat(self) -> None:
        """Any client gets the first answers for another one's keys."""
        for client, writes in self.writes.items():
            again = run(EXAMPLES["urllib3"], self._url, writes, self._node)
            assert again == self.answers[client], client

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def crowd(node: Callable[[], Path]) -> Iterator[Callable[[str], Crowd]]:
    """Makes crowds; what they run has ended afterwards."""
    program("curl")
    made: list[Crowd] = []

    def make(url: str) -> Crowd:
        made.append(Crowd(url, node))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stored_in(postgres_url: str) -> Counter[tuple[str, str]]:
    with psycopg.connect(postgres_url) as connection:
        return Counter(connection.execute("SELECT name, id::text FROM warriors").fetchall())


@pytest.mark.postgres
def test_ten_seconds_without_a_database(
    tmp_path: Path,
    start_postgres: Callable[[Mapping[str, str]], DemoServer],
    crowd: Callable[[str], Crowd],
) -> None:
    postgres = start_postgres({})
    admin = f"127.0.0.1:{free_port()}"
    environ = {
        "GUARD_DATABASE_URL": postgres.url,
        "GUARD_ADMIN_BIND": admin,
        "GUARD_WORKERS": "2",
        # The clients come back soon after the database does.
        "GUARD_RETRY_AFTER_MAX": "4",
        "GUARD_BREAKER_OPEN_MAX": "2s",
    }
    with Server(tmp_path / "log", environ) as server:
        all_clients = crowd(f"http://127.0.0.1:{server.target.port}")
        all_clients.send(2)()
        wait = all_clients.send(EACH)
        # As a power cut, and at once: some of the writes are under way.
        postgres.kill(signal.SIGKILL)
        Event().wait(OUTAGE_S)
        postgres.start()
        wait()
        all_clients.send(1)()
        all_clients.check(stored_in(postgres.url))
        all_clients.repeat()
        # Each of the writes under way was refused, or the outage was none.
        assert refusals(admin) >= EACH * len(EXAMPLES)
        assert server.troubles() == []
    postgres.stop()


def refusals(admin: str) -> float:
    with urllib.request.urlopen(f"http://{admin}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    shed = 'guard_admission_decisions_total{decision="shed"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(shed))


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_worker_killed_after_its_commit(
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    crowd: Callable[[str], Crowd],
) -> None:
    fixture = "duckdb_path" if kind == "duckdb" else "postgres_url"
    url = request.getfixturevalue(fixture)
    marks = tmp_path / "marks"
    environ = {
        "GUARD_DATABASE_URL": f"duckdb:///{url}" if kind == "duckdb" else url,
        "GUARD_WORKERS": "1",
        "GUARD_RETRY_AFTER_MAX": "4",
        "TEST_DIES_AT": f"{marks}:5",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [*SERVICE[:-1], "dying_service:create_app()"]
    with Server(tmp_path / "log", environ, command) as server:
        all_clients = crowd(f"http://127.0.0.1:{server.target.port}")
        all_clients.send(3)()
        assert marks.read_text().startswith("12345")
        all_clients.repeat()
        stored = stored_by(server.target.port, all_clients)
        all_clients.check(stored)
        said = [shown(server.target.port) for _ in range(2)]
    assert said[0] == said[1]
    assert said[0].startswith("HTTP/1.1 201")


def shown(port: int) -> str:
    """Return what the guide's example of a key shows, but for the time."""
    command = key_example().replace(SERVED, f"http://127.0.0.1:{port}")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return re.sub(r"^Date: .*$", "", done.stdout, flags=re.MULTILINE)


def stored_by(port: int, crowd: Crowd) -> Counter[tuple[str, str]]:
    """Ask the service, as nobody else may open a DuckDB file."""
    found: Counter[tuple[str, str]] = Counter()
    for client in crowd.writes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/warrior?t={client}") as answer:
            found.update((one["name"], one["id"]) for one in json.load(answer))
    return found
