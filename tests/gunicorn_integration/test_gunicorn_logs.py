"""What gunicorn's processes write."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn_process import Gunicorn, get, gunicorn

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

LOGGING_APP = """
import logging

from guard.assembly import assemble
from guard.gunicorn import current_worker

worker = current_worker()
assembly = assemble(worker.settings, recorder=worker.recorder, queues=worker.queues)
worker.on_drain(assembly.drain)
worker.on_exit(assembly.close)


@assembly.wrap
def app(environ, start_response):
    logging.getLogger("little").warning("asked for %s", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def lines(server: Gunicorn) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.lines]


def events(server: Gunicorn) -> list[str]:
    return [line["event"] for line in lines(server) if "event" in line]


def test_every_line_is_json_and_each_change_has_one(tmp_path: Path) -> None:
    with gunicorn(tmp_path, app=LOGGING_APP, GUARD_LOG_FORMAT="json") as server:
        server.wait_ready()
        assert get(server.port, "/x")[0] == 200
        first = server.pids()
        server.signal(signal.SIGHUP)
        server.until(lambda: server.pids() and not server.pids() & first, "a new worker serves")
        server.until(lambda: "worker_ended" in events(server), "the old worker's end is told")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        told = lines(server)
    assert all({"time", "level", "logger", "message", "pid"} <= set(line) for line in told)
    found = events(server)
    assert found.count("serving") == 1
    assert found.count("reload") == 1
    assert found.count("worker_started") == 2
    # Whether the arbiter still hears of the last one's end before its own is a matter of timing.
    assert found.count("worker_ended") in {1, 2}
    ready = [line["ready"] for line in told if line.get("event") == "readiness"]
    assert sorted(ready) == [False, False, True, True]
    [app] = [line for line in told if line["logger"] == "little"]
    assert app["message"] == "asked for /x"
    assert any(line["logger"] == "gunicorn.error" for line in told)


def test_text_is_as_gunicorn_writes_it(tmp_path: Path) -> None:
    with gunicorn(tmp_path, app=LOGGING_APP, GUARD_LOG_LEVEL="warning") as server:
        server.wait_ready()
        get(server.port, "/x")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert "[WARNING] asked for /x\n" in server.output
    assert "open for requests" not in server.output.replace("not open for requests", "")


def test_an_application_with_logging_of_its_own_gets_each_line_once(tmp_path: Path) -> None:
    own = "import logging\nlogging.basicConfig(format='own %(message)s', level='INFO')\n"
    with gunicorn(tmp_path, app=own + LOGGING_APP) as server:
        server.wait_ready()
        get(server.port, "/x")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert server.output.count("asked for /x") == 1
    assert "own asked for /x" in server.output
    assert "own open for requests" in server.output
