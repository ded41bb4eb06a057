import io
import json
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import EnvironBuilder, run_wsgi_app

from guard import metrics
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Policy, Reason
from guard.errors import BackendFailed, Shed, StatementTimeout
from guard.middleware import Guard
from guard.request import CURRENT
from guard.routing import Routing
from guard.rules import Rules
from guard.socket_age import ACCEPTED_KEY
from guard.testing import FakeClock, MemoryRecorder

LIMITS = Limits(Policy.PREDICTIVE, permits_max=2, waiters_max=1, wait_budget_s=0.1)


class World:
    """A guarded app with its parts at hand."""

    def __init__(self, app, *, mode=Mode.ENFORCE, slots=1, hold="request", **options):
        self.slots = slots
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        rules = Rules(lanes=dict.fromkeys(Lane, LIMITS), mode=mode)
        pools = {lane: lambda: self.slots for lane in Lane}
        self.controller = Controller(rules, pools, clock=self.clock, draw=lambda: 0.0)
        options.setdefault("routing", Routing(exempt_paths=("/livez", "/static/*")))
        self.guard = Guard(app, self.controller, recorder=self.recorder, hold=hold, **options)

    def get(self, path="/", method="GET", **environ):
        built = EnvironBuilder(path=path, method=method, environ_overrides=environ).get_environ()
        return run_wsgi_app(self.guard, built, buffered=True)

    def in_flight(self, lane=Lane.READ):
        return self.controller.load(lane).in_flight

    def counted(self, decision, reason, lane=Lane.READ):
        labels = (decision, reason.value, lane.value)
        return self.recorder.value(metrics.DECISIONS_TOTAL, labels)


def hello(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def test_an_admitted_request_holds_a_permit_until_its_body_is_closed():
    world = World(hello)
    environ = EnvironBuilder().get_environ()
    body = world.guard(environ, lambda *_: None)
    assert world.in_flight() == 1
    assert b"".join(body) == b"hello"
    assert world.in_flight() == 1
    body.close()
    body.close()
    assert world.in_flight() == 0
    assert world.counted("admitted", Reason.OK) == 1


def test_a_saturated_lane_answers_the_documented_503():
    world = World(hello, slots=0, problem_type="https://example.org/busy")
    body, status, headers = world.get()
    problem = json.loads(b"".join(body))
    assert status == "503 Service Unavailable"
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Retry-After"] == "1"
    assert int(headers["Content-Length"]) == len(json.dumps(problem).encode())
    assert problem == {
        "type": "https://example.org/busy",
        "title": "Service Unavailable",
        "status": 503,
        "detail": problem["detail"],
        "reason": "pool_saturated",
        "retry_after": 1,
        "processed": False,
    }
    assert world.counted("shed", Reason.POOL_SATURATED) == 1
    assert world.in_flight() == 0


def test_head_is_refused_without_a_body():
    body, status, headers = World(hello, slots=0).get(method="HEAD")
    assert b"".join(body) == b""
    assert status.startswith("503")
    assert int(headers["Content-Length"]) > 0


def test_a_lanes_saturation_never_sheds_the_other():
    world = World(hello)
    scopes = [world.controller.scope(Lane.READ) for _ in range(2)]
    permits = [world.controller.admit(scope, Lane.READ)[1] for scope in scopes]
    assert world.get()[1].startswith("503")
    assert world.get(method="POST")[1] == "200 OK"
    permits[0].release()
    assert world.get()[1] == "200 OK"


def test_exempt_paths_are_never_shed_and_hold_nothing():
    world = World(hello, slots=0)
    assert world.get("/livez")[1] == "200 OK"
    assert world.get("/static/deep/file")[1] == "200 OK"
    assert world.get("/livez2")[1].startswith("503")
    assert world.counted("bypassed", Reason.EXEMPT) == 2


@pytest.mark.parametrize(
    ("method", "path", "lane"),
    [
        ("GET", "/", Lane.READ), ("HEAD", "/", Lane.READ), ("OPTIONS", "/", Lane.READ),
        ("POST", "/", Lane.WRITE), ("PUT", "/", Lane.WRITE), ("DELETE", "/", Lane.WRITE),
        ("BREW", "/", Lane.WRITE), ("POST", "/search", Lane.READ),
        ("POST", "/search/x", Lane.WRITE),
        ("GET", "/visit/7", Lane.WRITE), ("GET", "/nothing", None),
    ],
)  # fmt: skip
def test_a_request_finds_its_lane(method, path, lane):
    routing = Routing(
        read_routes=("POST /search",),
        write_routes=("GET /visit/*",),
        classify=lambda e: None if e["PATH_INFO"] == "/nothing" else Routing().lane_of(e),
    )
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path}
    assert routing.lane_of(environ) is lane


def test_shadow_admits_and_counts_what_it_would_have_shed():
    world = World(hello, slots=0, mode=Mode.SHADOW)
    assert world.get()[1] == "200 OK"
    assert world.counted("would_shed", Reason.POOL_SATURATED) == 1
    assert world.recorder.count(metrics.WOULD_SHED_DURATION, ()) == 1
    assert world.in_flight() == 0


def test_off_decides_nothing():
    world = World(hello, slots=0, mode=Mode.OFF)
    assert world.get()[1] == "200 OK"
    assert world.counted("admitted", Reason.OK) == 1


class Body:
    """A body that can fail in each of its three steps."""

    def __init__(self, fail_next=None, fail_close=None):
        self.fail_next, self.fail_close = fail_next, fail_close
        self.chunks = [b"a", b"b"]
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.fail_next:
            raise self.fail_next
        if not self.chunks:
            raise StopIteration
        return self.chunks.pop()

    def close(self):
        self.closed += 1
        if self.fail_close:
            raise self.fail_close


def call(world, environ=None):
    started = []
    body = world.guard(environ or EnvironBuilder().get_environ(), lambda *a: started.append(a))
    return body, started


def test_the_permit_comes_back_when_the_app_raises():
    def broken(_environ, _start_response):
        raise RuntimeError("boom")

    world = World(broken)
    with pytest.raises(RuntimeError):
        world.get()
    assert world.in_flight() == 0
    assert world.recorder.value(metrics.HTTP_RESPONSES, ("GET", "(unmatched)", "500")) == 1


@pytest.mark.parametrize("step", ["fail_next", "fail_close"])
def test_the_permit_comes_back_when_the_body_raises(step):
    inner = Body(**{step: RuntimeError("boom")})

    def app(_environ, start_response):
        start_response("200 OK", [])
        return inner

    world = World(app)
    body, _ = call(world)
    if step == "fail_next":
        with pytest.raises(RuntimeError):
            next(iter(body))
        body.close()
    else:
        with pytest.raises(RuntimeError):
            body.close()
    assert inner.closed == 1
    assert world.in_flight() == 0
    assert CURRENT.get() is None


def test_a_client_that_goes_away_mid_body_gives_the_permit_back():
    def app(_environ, start_response):
        start_response("200 OK", [])
        return Body()

    world = World(app)
    body, _ = call(world)
    assert next(iter(body)) == b"b"
    body.close()
    assert world.in_flight() == 0


def test_a_refusal_raised_by_the_app_becomes_the_503():
    def app(_environ, _start_response):
        scope = CURRENT.get()
        scope.reason, scope.retry_after_s = Reason.BREAKER_OPEN, 7
        raise Shed(Lane.READ, Reason.BREAKER_OPEN, 7)

    world = World(app, hold="connection")
    body, status, headers = world.get()
    assert status.startswith("503")
    assert headers["Retry-After"] == "7"
    assert json.loads(b"".join(body))["reason"] == "breaker_open"
    assert world.counted("shed", Reason.BREAKER_OPEN) == 1


def test_a_refusal_before_the_first_chunk_replaces_the_started_response():
    def app(_environ, start_response):
        start_response("200 OK", [])
        yield b""
        raise Shed(Lane.READ, Reason.POOL_SATURATED, 2)

    world = World(app, hold="connection")
    body, started = call(world)
    text = b"".join(body)
    assert json.loads(text)["retry_after"] == 2
    assert started[0][0] == "200 OK"
    assert started[1][0] == "503 Service Unavailable"
    assert started[1][2][0] is Shed
    body.close()
    assert world.in_flight() == 0


def test_a_refusal_after_the_first_byte_cannot_be_answered_any_more():
    def app(_environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise Shed(Lane.READ, Reason.POOL_SATURATED, 2)

    world = World(app, hold="connection")
    body, _ = call(world)
    with pytest.raises(Shed):
        b"".join(body)
    body.close()
    assert world.in_flight() == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(BackendFailed("gone"), "503"), (StatementTimeout("slow"), "504")],
)
def test_other_database_errors_promise_nothing(error, status):
    def app(_environ, _start_response):
        raise error

    body, line, headers = World(app).get()
    assert line.startswith(status)
    assert "Retry-After" not in headers
    assert json.loads(b"".join(body))["processed"] is True


def test_a_file_wrapper_goes_back_to_the_server_as_it_is():
    closed = []

    class File(io.BytesIO):
        def close(self):
            closed.append(True)
            super().close()

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](File(b"data"))

    world = World(app)
    environ = EnvironBuilder(environ_overrides={"wsgi.file_wrapper": FileWrapper}).get_environ()
    body, _ = call(world, environ)
    assert type(body) is FileWrapper
    assert world.in_flight() == 1
    body.close()
    assert closed == [True]
    assert world.in_flight() == 0


def test_an_unread_body_closes_the_connection_where_the_server_can():
    class Response:
        closed = False

        def force_close(self):
            self.closed = True

        def start(self, *_args):
            return None

    response = Response()
    world = World(hello, slots=0)
    world.guard(EnvironBuilder(method="POST", data=b"x").get_environ(), response.start)
    assert response.closed


def test_the_age_told_by_the_server_counts_against_the_deadline():
    world = World(hello, age_s=lambda _environ: 11.0)
    body, status, _ = world.get()
    assert status.startswith("503")
    assert json.loads(b"".join(body))["reason"] == "deadline"


def test_a_handler_that_answers_a_refusal_itself_is_counted_as_answered():
    def app(environ, start_response):
        CURRENT.get().reason = Reason.POOL_SATURATED
        return hello(environ, start_response)

    world = World(app)
    assert world.get()[1] == "200 OK"
    assert world.counted("admitted", Reason.OK) == 1


def test_every_refusal_is_told_to_the_listener():
    heard = []
    World(hello, slots=0, on_shed=lambda *what: heard.append(what)).get(method="PUT")
    assert heard == [(Lane.WRITE, Reason.POOL_SATURATED)]


@pytest.mark.parametrize("slots", [0, 4])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_validators_find_nothing(slots, method):
    world = World(hello, slots=slots)
    environ = EnvironBuilder(method=method).get_environ()
    environ.setdefault("SCRIPT_NAME", "")
    body = validator(world.guard)(dict(environ), lambda *_a: lambda _chunk: None)
    b"".join(body)
    body.close()
    if method != "HEAD":  # that linter wants the bytes of Content-Length from a HEAD too
        run_wsgi_app(LintMiddleware(world.guard), environ, buffered=True)


def test_the_servers_stamp_is_the_age():
    seen = []

    def app(environ, start_response):
        seen.append(CURRENT.get().arrived_s)
        return hello(environ, start_response)

    world = World(app)
    now_s = world.clock.now_s()
    world.get(**{ACCEPTED_KEY: now_s - 2.5})
    world.get(**{ACCEPTED_KEY: now_s})
    assert seen == [now_s - 2.5, now_s]
    # After one that has waited the next one is asked too.
    assert world.recorder.count(metrics.QUEUE_WAIT, ("executor",)) == 2


def test_while_no_queue_is_seen_one_age_in_eight_is_asked_for_and_stands_for_all():
    ages, asked = [0.0] * 9 + [0.02, 0.03, 0.0], []

    def age_s(environ):
        asked.append(environ["PATH_INFO"])
        return ages[int(environ["PATH_INFO"][1:])]

    world = World(hello, age_s=age_s)
    for n in range(9):
        world.get(f"/{n}")
    assert asked == ["/0", "/8"]
    assert world.recorder.count(metrics.QUEUE_WAIT, ("kernel",)) == 9
    for _ in range(7):
        world.get("/1")
    for n in (9, 10, 11, 0):
        world.get(f"/{n}")
    # From the first one that has waited each is asked, until one has not.
    assert asked[2:] == ["/9", "/10", "/11"]


def test_refusals_press_for_a_moment():
    world = World(hello, slots=0)
    world.clock.advance(5.0)
    assert not world.guard.pressed()
    world.get()
    assert world.guard.pressed()
    world.clock.advance(0.11)
    assert not world.guard.pressed()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    assert world.guard.consider(environ).status == 503
    assert world.guard.pressed()
    world.slots = 1
    assert world.guard.consider(environ) is None


def test_odd_methods_and_status_lines_take_no_memory(monkeypatch):
    monkeypatch.setattr("guard.tally._KEYS_MAX", 2)
    world = World(hello)
    for n in range(5):
        world.get(method=f"BREW{n}")
    assert len(world.guard._tally._counts) == 2
    assert world.recorder.value(metrics.HTTP_RESPONSES, ("(other)", "(unmatched)", "200")) == 5


def test_a_guard_without_a_recorder_keeps_nothing():
    controller = Controller(
        Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 1 for lane in Lane}
    )
    guard = Guard(hello, controller, age_s=lambda _: 1.0)
    body, status, _ = run_wsgi_app(guard, EnvironBuilder().get_environ(), buffered=True)
    assert (status, b"".join(body)) == ("200 OK", b"hello")
