from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from service.postgres_process import free_port
from stress.arrivals import CREATE, LOOK_UP, NO_TERM, SEARCH, constant, schedule
from stress.load import User, generate, users
from stress.payloads import Request
from stress.result import summarise
from stress.shots import NotLoopbackError, Target, check_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS = {"name": "Bo", "dob": "1980-01-02", "fight_skills": ["Judo"]}
_CREATE = Request(CREATE, "POST", "/warrior", 201, b"{}", _FIELDS)
_SEARCH = Request(SEARCH, "GET", "/warrior?t=a", 200, term="a")


class _Service(ThreadingHTTPServer):
    """Holds every answer until ``go``; answers as each request's right answer would be."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.go = Event()
        self.go_at = 0
        self.connections: list[tuple[str, int]] = []
        self.cookies: list[str | None] = []

    def arrived(self, client: tuple[str, int]) -> None:
        self.connections.append(client)
        if len(self.connections) == self.go_at:
            self.go.set()
        self.go.wait(5)

    def handle_error(self, *_: object) -> None:
        """A client that gave up is wanted here."""

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Service

    def do_GET(self) -> None:
        self.server.cookies.append(self.headers["Cookie"])
        self.server.arrived(self.client_address)
        if self.path.startswith("/shed"):
            self._answer(503, {"reason": "pool_saturated"}, "application/problem+json")
        elif self.path.startswith("/cut"):
            self.close_connection = True
        elif "?t=" in self.path:
            self._answer(200, [])
        elif self.path == "/warrior":
            self._answer(400, {"status": 400})
        else:
            self._answer(200, {**_FIELDS, "id": self.path.rpartition("/")[2]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived(self.client_address)
        self._answer(201, {**_FIELDS, "id": "some-id"})

    def _answer(self, status: int, answer: object, content_type: str = "application/json") -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Location", "/warrior/some-id")
        self.send_header("Set-Cookie", "seen=77; Max-Age=9; HttpOnly")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[_Service]:
    with _Service() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "localhost", "example.org", "", "::"])  # noqa: S104 - must be refused
def test_load_goes_to_loopback_addresses_only(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        generate(Target(host, 80), [], 1.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_addresses_are_taken(host: str) -> None:
    check_loopback(host)


@pytest.mark.process
def test_a_stall_neither_holds_back_the_schedule_nor_hides(service: _Service) -> None:
    service.go_at = 100  # no answer before the last of them has come
    arriving = [User(n / 100, _SEARCH, 0.0) for n in range(100)]
    run = generate(service.target, arriving, 1.0)

    assert run.sent == run.scheduled == len(run.samples) == 100
    assert all(sample.right for sample in run.samples)
    assert sorted(sample.due_s for sample in run.samples) == [user.due_s for user in arriving]
    for sample in run.samples:
        assert sample.due_s + sample.latency_s >= 0.99, "each saw its own rest of the stall"
    assert len(set(service.connections)) == 100


@pytest.mark.process
def test_every_kind_of_outcome_is_told(service: _Service) -> None:
    service.go.set()
    shed = Request(SEARCH, "GET", "/shed?t=a", 200, term="a")
    cut = Request(SEARCH, "GET", "/cut?t=a", 200, term="a")
    arriving = [User(0.0, request, 0.001) for request in (_CREATE, _SEARCH, shed, cut)]
    run = generate(service.target, arriving, 1.0)
    by_kind = {kind: [one for one in run.samples if one.kind == kind] for kind in (CREATE, LOOK_UP)}
    total = summarise(run).total

    assert (total.sent, total.answered, total.shed, total.failed) == (5, 3, 1, 1)
    assert total.reasons == {"pool_saturated": 1}
    (created,), (looked_up,) = by_kind[CREATE], by_kind[LOOK_UP]
    assert created.right
    assert created.acknowledged == {**_FIELDS, "id": "some-id"}
    assert created.submitted == _FIELDS
    assert looked_up.right
    assert looked_up.due_s >= created.due_s + created.latency_s + 0.001
    assert len(service.connections) == 5, "nothing is sent twice"
    assert sorted(service.cookies, key=str) == [None, None, None, "seen=77"], "of its own create"


@pytest.mark.process
def test_a_request_has_a_time_out(service: _Service) -> None:
    run = generate(service.target, [User(0.0, _SEARCH, 0.0)], 1.0, timeout_s=0.05)

    assert [sample.failure for sample in run.samples] == ["time-out"]
    assert run.samples[0].latency_s >= 0.05


@pytest.mark.process
def test_a_refused_connection_is_a_failure() -> None:
    run = generate(Target("127.0.0.1", free_port()), [User(0.0, _SEARCH, 0.0)], 1.0)

    assert [sample.failure for sample in run.samples] == ["ECONNREFUSED"]


def test_users_follow_the_schedule() -> None:
    arrivals = schedule(constant(100, 1))
    found = users(arrivals, 1)

    assert [(user.due_s, user.request.kind) for user in found] == arrivals
    assert {user.request.kind for user in found} == {CREATE, SEARCH, NO_TERM}
    assert found == users(arrivals, 1)
