"""Request ids and traces: taken over, handed back, in log lines."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.correlation import (
    REQUEST_ID_KEY,
    TRACE_ID_KEY,
    Correlation,
    correlate_by,
    parse_traceparent,
)
from guard.exchange import close_connection
from guard.export.log import RefusalLog
from guard.export.structured import RequestContext
from guard.middleware import Guard
from guard.request import CURRENT
from guard.rules import Rules
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
ALLOWED = re.compile(r"[A-Za-z0-9._~+/=:@,-]{1,128}")
HEX = "0123456789abcdef"


class World:
    """A guarded app that notes what it sees; ``slots`` of 0 sheds everything."""

    def __init__(self, mode: Any = "accept", slots: int = 1) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answers: list[tuple[str, str]] = []
        clock = FakeClock()
        limits = Limits(Policy.PREDICTIVE, permits_max=2, waiters_max=0, wait_budget_s=0.1)
        self.guard = Guard(
            self.app,
            Controller(
                Rules(lanes=dict.fromkeys(Lane, limits)), dict.fromkeys(Lane, lambda: slots)
            ),
            correlate=correlate_by(mode, lambda: "made-here"),
            on_shed=RefusalLog(clock).note,
        )

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        logging.getLogger("app").warning("in the app")
        scope = CURRENT.get()
        assert scope is not None
        self.seen.append({**environ, "correlation": scope.correlation})
        start_response("200 OK", [("Content-Length", "2"), *self.answers])
        return [b"ok"]

    def get(self, **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        environ = EnvironBuilder(headers=given).get_environ()
        _, status, found = run_wsgi_app(self.guard, environ, buffered=True)
        assert CURRENT.get() is None
        return status, found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The log of this test, seen through the filter."""
    context = RequestContext()
    caplog.handler.addFilter(context)
    yield caplog
    caplog.handler.removeFilter(context)


def test_an_id_is_taken_over_and_handed_back(log: Any) -> None:
    world = World()
    _, headers = world.get(X_Request_ID="abc-1")
    assert headers.getlist("X-Request-ID") == ["abc-1"]
    assert world.seen[0][REQUEST_ID_KEY] == "abc-1"
    assert world.seen[0]["correlation"] == Correlation("abc-1")
    assert (log.records[0].request_id, log.records[0].trace_id) == ("abc-1", "")
    _, headers = world.get()
    assert "X-Request-ID" not in headers
    assert REQUEST_ID_KEY not in world.seen[1]
    assert log.records[1].request_id == ""


def test_a_trace_is_carried_into_the_scope_and_the_log(log: Any) -> None:
    world = World("off")
    _, headers = world.get(traceparent=PARENT, X_Request_ID="abc")
    assert "X-Request-ID" not in headers
    assert world.seen[0][TRACE_ID_KEY] == TRACE
    assert world.seen[0]["correlation"] == Correlation("", TRACE, SPAN, sampled=True)
    assert (log.records[0].trace_id, log.records[0].span_id) == (TRACE, SPAN)


def test_a_refusal_has_the_id_too_and_leaves_the_others_alone(log: Any) -> None:
    world = World(slots=0)
    status, headers = world.get(X_Request_ID="abc", traceparent=PARENT)
    assert status.startswith("503")
    assert headers.getlist("X-Request-ID") == ["abc"]
    assert (log.records[0].guard_event, log.records[0].request_id) == ("shed", "abc")
    assert log.records[0].trace_id == TRACE
    # The headers of refusals are made once per kind.
    assert "X-Request-ID" not in world.get()[1]


def test_an_application_that_answers_with_an_id_keeps_it() -> None:
    world = World()
    world.answers = [("x-request-id", "its own")]
    assert world.get(X_Request_ID="abc")[1].getlist("X-Request-ID") == ["its own"]


def test_an_id_is_made_where_a_setting_says_so() -> None:
    world = World("generate")
    assert world.get()[1]["X-Request-ID"] == "made-here"
    assert world.seen[0]["HTTP_X_REQUEST_ID"] == "made-here"
    assert world.get(X_Request_ID="given")[1]["X-Request-ID"] == "given"
    assert world.get(X_Request_ID="not one")[1]["X-Request-ID"] == "made-here"
    assert world.seen[2]["HTTP_X_REQUEST_ID"] == "made-here"


@given(st.text(max_size=140))
def test_nothing_odd_gets_into_headers_and_log_lines(text: str) -> None:
    found = correlate_by("accept", str)({"HTTP_X_REQUEST_ID": text})
    assert (found is not None) is (ALLOWED.fullmatch(text) is not None)
    assert found is None or found.request_id == text


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-more", True),
        (f"cc-{TRACE}-{SPAN}-01more", False),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"00-{TRACE}-{SPAN}-01-", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE[:-1]}-{SPAN}-01", False),
        (f" {PARENT}", False),
        (f"{PARENT}\n", False),
        ("", False),
    ],
)
def test_only_well_formed_traceparents_count(text: str, *, valid: bool) -> None:
    found = parse_traceparent(text)
    assert (found is not None) is valid
    assert found is None or (found.trace_id, found.span_id) == (TRACE, SPAN)


@given(
    st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16),
    st.integers(0, 255),
)  # fmt: skip
def test_a_traceparent_says_what_was_put_in(trace: str, span: str, flags: int) -> None:
    found = parse_traceparent(f"00-{trace}-{span}-{flags:02x}")
    if trace == "0" * 32 or span == "0" * 16:
        assert found is None
    else:
        assert found == (trace, span, flags % 2 == 1)


def test_the_server_can_still_be_told_to_close() -> None:
    class Response:
        closed = False

        def start_response(self, _status: str, _headers: list[tuple[str, str]]) -> None:
            """Begin."""

        def force_close(self) -> None:
            self.closed = True

    response, world = Response(), World()

    def closing(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        close_connection(start_response)
        start_response("200 OK", [])
        return []

    world.guard._app = closing
    environ = EnvironBuilder(headers={"X-Request-ID": "abc"}).get_environ()
    world.guard(environ, response.start_response).close()  # type: ignore[attr-defined]
    assert response.closed
