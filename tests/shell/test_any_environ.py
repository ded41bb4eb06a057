"""Whatever a server may put into an environ: one answer, one count, no permit left behind."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.priority import Shares
from guard.core.request_times import AGE_MAX_S, age_s
from guard.core.vocabulary import Lane, Policy
from guard.correlation import correlate_by, new_id
from guard.metrics import DECISIONS_TOTAL
from guard.middleware import Guard
from guard.ranking import Ranking
from guard.request import CURRENT
from guard.routing import Routing
from guard.rules import Rules
from guard.testing import FakeClock, MemoryRecorder
from guard.trust import age_told_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WALL_S = 1_795_000_000.0
LIMITS = Limits(Policy.PREDICTIVE, permits_max=2, waiters_max=1, wait_budget_s=0.1)
SAFE_ID = re.compile(r"[A-Za-z0-9._~+/=:@,-]{1,128}")
LOOKED_AT = (
    "HTTP_X_REQUEST_TIMEOUT_MS", "HTTP_X_PRIORITY", "HTTP_X_CLIENT_ID", "HTTP_X_REQUEST_START",
    "HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT", "HTTP_IDEMPOTENCY_KEY", "HTTP_TRANSFER_ENCODING",
)  # fmt: skip

# gunicorn decodes every header as Latin-1; a control character has been refused by then.
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
NEAR = st.sampled_from(
    ("0", "-1", "250", "9" * 40, "+0", " 7 ", "1e3", "t=1795000000.5", "t=1", "critical ", "\xa0",
     "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "\xb2", "127.0.0.1", "fe80::1%\xe9", "::1", ""),
)  # fmt: skip
VALUES = LATIN | NEAR
ENVIRONS = st.fixed_dictionaries(
    {"REQUEST_METHOD": st.sampled_from(("GET", "HEAD", "POST", "DELETE")) | LATIN},
    optional={
        **dict.fromkeys(LOOKED_AT, VALUES),
        "PATH_INFO": VALUES.map(lambda text: "/" + text) | st.just(""),
        "QUERY_STRING": VALUES,
        "REMOTE_ADDR": VALUES,
        "CONTENT_LENGTH": VALUES,
        "guard.route": st.text(max_size=200),
    },
)
SLOTS = st.sampled_from((0, 1))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"hello"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [body]


class World:
    """A guard that looks at everything that it can look at."""

    def __init__(self, slots: int, inner: Any = app) -> None:
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        ranking = Ranking(
            critical_routes=("POST /pay*",), sheddable_routes=("GET /suggest",),
            priority_header="X-Priority", fairness="header", client_header="X-Client-Id",
            trusted_proxies=("*",),
        )  # fmt: skip
        rules = Rules(lanes=dict.fromkeys(Lane, LIMITS), shares=Shares(0.0, 0.5, 0.25))
        self.controller = Controller(
            rules, dict.fromkeys(Lane, lambda: slots), clock=self.clock, draw=lambda: 0.5
        )
        self.guard = Guard(
            inner,
            self.controller,
            recorder=self.recorder,
            routing=Routing(exempt_paths=("/livez", "/static/*"), read_routes=("POST /search",)),
            ranking=ranking,
            age_s=age_told_by(("*",), lambda _environ: 0.0, lambda: WALL_S),
            deadline_header="X-Request-Timeout-Ms",
            correlate=correlate_by("generate", new_id),
        )
        self.answers: list[tuple[str, dict[str, str]]] = []

    def start(self, status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        self.answers.append((status, {name.lower(): value for name, value in headers}))
        return io.BytesIO().write

    @property
    def decisions(self) -> float:
        found = self.recorder.collect()
        return sum(one.value for one in found if one.metric is DECISIONS_TOTAL)

    def call(self, environ: dict[str, Any]) -> None:
        body = self.guard({"wsgi.input": io.BytesIO(b"abc"), **environ}, self.start)
        try:
            list(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def check(self) -> None:
        ((status, headers),) = self.answers
        assert status[:3] in {"200", "503"}
        assert SAFE_ID.fullmatch(headers["x-request-id"])
        assert ("retry-after" in headers) is (status[:3] == "503")
        assert 1 <= int(headers.get("retry-after", "1")) <= 60
        assert self.decisions == 1
        assert all(self.controller.load(lane).in_flight == 0 for lane in Lane)
        assert 0.0 <= self.controller.queue_age_s <= AGE_MAX_S


@given(ENVIRONS, SLOTS)
def test_any_environ_gets_one_answer_and_is_counted_once(
    environ: dict[str, Any], slots: int
) -> None:
    world = World(slots)
    world.call(environ)
    world.check()


@given(ENVIRONS, SLOTS, st.floats(0, 100))
def test_the_accept_loops_question_is_answered_or_left_to_the_middleware(
    environ: dict[str, Any], slots: int, waiting_s: float
) -> None:
    world = World(slots)
    response = world.guard.consider(environ, waiting_s)
    assert world.decisions == (response is not None)
    if response is not None:
        assert response.status == 503
        fields = dict(response.headers)
        assert 1 <= int(fields["Retry-After"]) <= 60
        assert int(fields["Content-Length"]) == len(response.body)


# What wsgiref's validator takes for an environ of a well-behaved server.
PLAIN = st.fixed_dictionaries(
    {"REQUEST_METHOD": st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"))},
    optional={
        **dict.fromkeys(LOOKED_AT, VALUES),
        "PATH_INFO": VALUES.map(lambda text: "/" + text),
        "QUERY_STRING": VALUES,
        "REMOTE_ADDR": VALUES,
        "CONTENT_LENGTH": st.sampled_from(("", "0", "3", "9999999")),
    },
)


@settings(max_examples=40)
@given(PLAIN, SLOTS)
def test_both_sides_keep_to_the_protocol(environ: dict[str, Any], slots: int) -> None:
    world = World(slots, validator(app))
    whole = {
        "PATH_INFO": "/", **environ, "SERVER_NAME": "h", "SERVER_PORT": "80", "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": "", "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(b"abc"), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    body = validator(world.guard)(whole, world.start)
    list(body)
    body.close()  # type: ignore[attr-defined]
    world.check()


@given(VALUES, VALUES, st.floats(0, 4e9))
def test_what_headers_say_of_time_is_never_absurd(start: str, timeout: str, wall_s: float) -> None:
    assert 0.0 <= age_s(start, wall_s) <= AGE_MAX_S
    seen = []

    def inner(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(CURRENT.get())
        return app(environ, start_response)

    world = World(1, inner)
    world.call(
        {
            "REQUEST_METHOD": "GET",
            "HTTP_X_REQUEST_START": start,
            "HTTP_X_REQUEST_TIMEOUT_MS": timeout,
        }
    )
    world.check()
    now_s = world.clock.now_s()
    for scope in seen:
        assert scope is not None
        assert now_s - AGE_MAX_S <= scope.arrived_s <= now_s
        within_s = scope.deadline_at_s - scope.arrived_s
        assert 0.0 <= within_s <= world.controller.rules.deadline_s


@pytest.mark.parametrize("length", ["abc", "-1", "\xb2", "1_0", "+3", " 3", "9" * 5000])
def test_a_length_that_is_none_is_never_waited_for(length: str) -> None:
    world = World(0)
    world.call({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length})
    world.check()


@pytest.mark.parametrize("path", ["/caf\xe9", "/\u6728\u862d/list", "/\udcff"])
def test_a_path_that_is_no_ascii_is_matched_as_the_server_gives_it(path: str) -> None:
    # The bytes of the path, each as one character: PEP 3333.
    raw = path.encode("utf-8", "surrogateescape").decode("latin-1")
    routing = Routing(exempt_paths=(path, "/x*"), write_routes=(f"GET {path}/*",))
    assert routing.lane_of({"REQUEST_METHOD": "GET", "PATH_INFO": raw}) is None
    assert routing.lane_of({"REQUEST_METHOD": "GET", "PATH_INFO": raw + "/1"}) is Lane.WRITE
    assert routing.lane_of({"REQUEST_METHOD": "GET", "PATH_INFO": raw + "1"}) is Lane.READ
