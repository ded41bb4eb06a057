"""What real clients do with a refusal: repeat it or not, wait as told, keep the connection."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import httpx
import httpx_retries
import pytest
import requests
import urllib3
from client_examples import PAGE, Write, examples, run
from programs import program
from recording_proxy import recording

from guard.core.vocabulary import Reason
from stress.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from recording_proxy import Record

    from service.demo_postgres import DemoServer

WARRIOR = {"name": "x", "dob": "1999-12-31", "fight_skills": ["x"]}
REFUSALS = 2
"""So often each client is refused, at least, before there is a database."""

pytestmark = [pytest.mark.process, pytest.mark.postgres]


class Refusing(NamedTuple):
    """A real service whose database is not there yet."""

    port: int
    open: Callable[[], None]


@pytest.fixture
def refusing(
    tmp_path: Path, start_postgres: Callable[[Mapping[str, str]], DemoServer]
) -> Iterator[Refusing]:
    postgres = start_postgres({})
    url = postgres.url
    postgres.stop()
    environ = {"GUARD_DATABASE_URL": url, "GUARD_WORKERS": "1", "GUARD_RETRY_AFTER_MAX": "10"}
    with Server(tmp_path / "log", environ, ready_path="/livez") as server:
        yield Refusing(server.target.port, postgres.start)
    postgres.stop()


@contextmanager
def recorded(port: int, names: list[str]) -> Iterator[dict[str, Record]]:
    with ExitStack() as proxies:
        yield {name: proxies.enter_context(recording(port)) for name in names}


def until(condition: Callable[[], bool], what: str) -> None:
    tick = Event()
    for _ in range(3000):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail(what)


def test_the_examples_wait_as_told_on_the_same_connection(
    refusing: Refusing, node: Callable[[], Path]
) -> None:
    program("curl")
    node()
    found = examples()
    with recorded(refusing.port, list(found)) as records, ThreadPoolExecutor(len(found)) as pool:
        running = {
            client: pool.submit(
                run, example, records[client].url, [Write(WARRIOR, str(uuid4()))], node
            )
            for client, example in found.items()
        }
        until(
            lambda: all(len(record.refusals) >= REFUSALS for record in records.values()),
            f"not all came back: {records}",
        )
        refusing.open()
        for client, answers in running.items():
            assert [status for status, _ in answers.result(60)] == [201], client
    for client, record in records.items():
        for told, waited_s in record.told_and_waited_s():
            assert told.isdecimal(), (client, told)
            # Its clock and ours may differ by their ticks.
            assert waited_s >= int(told) - 0.02, (client, told, waited_s)
    connections = {
        client: len({one.connection for one in record.tries}) / len(record.tries)
        for client, record in records.items()
    }
    # httpx-retries closes a response that it has not read, and so the connection.
    assert connections.pop("httpx") == 1
    # The others come back on theirs, but where a body came too late for a refusal to wait for it:
    # on a busy machine that is no more than some of them.
    assert sum(share < 1 for share in connections.values()) >= len(connections) / 2, connections


def urllib3_default(url: str) -> None:
    with urllib3.PoolManager() as http:
        http.request("POST", url, json=WARRIOR)


def requests_default(url: str) -> None:
    with requests.Session() as session:
        session.post(url, json=WARRIOR, timeout=15)


def requests_with_retries(url: str) -> None:
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=3))
        session.post(url, json=WARRIOR, timeout=15)


def httpx_retries_default(url: str) -> None:
    with httpx.Client(transport=httpx_retries.RetryTransport()) as client:
        client.post(url, json=WARRIOR)


def curl_default(url: str) -> None:
    subprocess.run(
        [program("curl"), "-sS", "--retry", "1", "--json", '{"name": "x"}', url],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def test_which_defaults_repeat_a_post(refusing: Refusing, node: Callable[[], Path]) -> None:
    def node_default(client: str) -> Callable[[str], None]:
        command = [program("node"), "defaults.mjs", client]
        return lambda url: subprocess.run([*command, url], cwd=node(), check=True, timeout=60)

    clients = {
        "urllib3": urllib3_default,
        "requests": requests_default,
        "requests, max_retries": requests_with_retries,
        "httpx-retries": httpx_retries_default,
        "curl --retry": curl_default,
        "undici": node_default("undici"),
        "got": node_default("got"),
    }
    with recorded(refusing.port, list(clients)) as records, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: clients[name](f"{records[name].url}/warrior"), clients))
    assert {name: len(record.tries) for name, record in records.items()} == {
        **dict.fromkeys(clients, 1),
        "curl --retry": 2,
    }
    assert {one.status for record in records.values() for one in record.tries} == {503}


def test_the_guide_knows_every_reason() -> None:
    section = PAGE.read_text().partition("\n## Reasons\n")[2].partition("\n## ")[0]
    rows = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(reason.value for reason in Reason if reason.sheds)
