"""The examples of docs/examples under real gunicorn: a refusal when it is full, else an answer."""

import json
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread

import pytest
from patience import PATIENCE_S, until

from stress.scrape import scrape
from stress.server import ROOT, Server

pytestmark = pytest.mark.process

EXAMPLES = {"django_app": "app", "sqlalchemy_app": "app:create_app()"}
# One place in the read lane, so that one slow request fills it.
SMALL = {
    "GUARD_WORKERS": "1", "GUARD_READ_POOL_SIZE": "1", "GUARD_READ_WAITERS": "0",
    "GUARD_WRITE_POOL_SIZE": "1", "GUARD_WRITE_WAITERS": "0", "GUARD_EXEMPT_PATHS": "/about,/livez",
    "GUARD_DEADLINE": "60s",
}  # fmt: skip


def server(folder: Path, name: str) -> Server:
    command = (
        "-m", "gunicorn", "-c", str(ROOT / "gunicorn_config.py"),
        "--chdir", str(ROOT / "docs" / "examples" / name), EXAMPLES[name],
    )  # fmt: skip
    file = folder / f"{name}.sqlite"
    places = {"DATABASE_FILE": str(file), "DATABASE_URL": f"sqlite:///{file}"}
    return Server(folder / "log", {**SMALL, **places}, command, "/report", watch_memory=False)


def ask(running: Server, path: str, method: str = "GET"):
    """Return status, headers and document."""
    target = running.target
    with closing(HTTPConnection(target.host, target.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read() or b"null")


@contextmanager
def full(running: Server):
    """Fill the one place of the read lane with a request that outlasts the test."""

    def hold():
        with suppress(OSError, HTTPException):  # it dies with the server
            ask(running, f"/report?seconds={PATIENCE_S}")

    slow = Thread(target=hold)
    slow.start()
    try:
        until(lambda: scrape(running.admin).in_flight == 1)
        yield
    finally:
        running.kill()
        slow.join(PATIENCE_S)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_free_lane_answers_and_a_full_one_refuses(tmp_path, name):
    with server(tmp_path, name) as running:
        # Who asked whether it is ready may hold the one place for a moment after the answer.
        until(lambda: scrape(running.admin).in_flight == 0)
        assert ask(running, "/report")[0] == 200
        until(lambda: scrape(running.admin).in_flight == 0)
        found = scrape(running.admin)
        assert found.total("guard_http_responses_total", route="/report", code="200") > 0
        if name == "sqlalchemy_app":
            check_its_pool(running)
        with full(running):
            status, headers, document = ask(running, "/report")
            assert status == 503
            assert int(headers["Retry-After"]) >= 1
            assert document["processed"] is False
            if name == "django_app":
                # What needs no database is answered meanwhile.
                assert ask(running, "/about")[0] == 200
            assert not running.troubles()


def check_its_pool(running):
    assert ask(running, "/note", "POST")[2] == {"stored": True}
    assert ask(running, "/report")[2] == {"notes": 1}
    found = scrape(running.admin)
    assert found.total("guard_pool_connections", pool="read") == 1
    assert found.total("guard_pool_use_seconds_count", pool="read") > 2
