"""A client's own deadline, and clients that have gone, through the whole guard."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from database_world import World as DatabaseWorld
from test_middleware import World, hello

from guard import metrics
from guard.core.vocabulary import Lane, Mode, Outcome, Reason
from guard.errors import ClientGone, Shed, StatementTimeout
from guard.export.log import RefusalLog
from guard.problem import response_for
from guard.request import CURRENT
from guard.routing import environ_key
from guard.socket_age import ACCEPTED_KEY, SOCKET_KEY
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.request import RequestScope

    Begin = Callable[..., RequestScope]

HEADER = "X-Request-Timeout-Ms"
KEY = environ_key(HEADER)
GONE_STATES = (7, 8)
ESTABLISHED = 1


class Socket:
    """A connection whose kernel is in a state of TCP, and how often it was asked."""

    def __init__(self, state: int | None) -> None:
        self.state = state
        self.asked = 0

    def getsockopt(self, *_: int) -> bytes:
        self.asked += 1
        if self.state is None:
            raise OSError("no TCP")
        return bytes([self.state])


def left_s(world: World, **environ: object) -> float:
    """Return how much time the application has for the request."""
    seen = []

    def app(inner: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        scope = CURRENT.get()
        assert scope is not None
        seen.append(scope.deadline_at_s - world.clock.now_s())
        return hello(inner, start_response)

    world.guard._app = app
    world.get(**environ)
    return seen[0] if seen else 0.0


@pytest.mark.parametrize(
    ("text", "expected_s"), [("250", 0.25), ("60000", 10.0), ("soon", 10.0), (None, 10.0)]
)
def test_the_header_shortens_the_deadline(text: str | None, expected_s: float) -> None:
    world = World(hello, deadline_header=HEADER)
    environ = {} if text is None else {KEY: text}
    assert left_s(world, **environ) == pytest.approx(expected_s)


def test_it_counts_from_the_arrival() -> None:
    world = World(hello, deadline_header=HEADER)
    now_s = world.clock.now_s()
    told = {KEY: "3000", ACCEPTED_KEY: now_s - 2.0}
    assert left_s(world, **told) == pytest.approx(1.0)
    body, status, _ = world.get(**{KEY: "2000", ACCEPTED_KEY: now_s - 2.0})
    assert status.startswith("503")
    assert json.loads(b"".join(body))["reason"] == "deadline"


def test_without_the_setting_no_client_has_a_say() -> None:
    assert left_s(World(hello), **{KEY: "250"}) == pytest.approx(10.0)


@pytest.mark.parametrize("text", ["0", "-1", "1"])
def test_what_can_not_be_answered_in_time_is_refused(text: str) -> None:
    world = World(hello, deadline_header=HEADER)
    body, status, headers = world.get(**{KEY: text})
    problem = json.loads(b"".join(body))
    assert (status[:3], problem["reason"], problem["processed"]) == ("503", "deadline", False)
    assert int(headers["Retry-After"]) >= 1
    assert world.counted("shed", Reason.DEADLINE) == 1


def test_exempt_requests_are_answered_whatever_they_say() -> None:
    assert World(hello, deadline_header=HEADER).get("/livez", **{KEY: "0"})[1] == "200 OK"


def test_shadow_counts_what_is_late_and_answers_it() -> None:
    world = World(hello, deadline_header=HEADER, mode=Mode.SHADOW)
    assert world.get(**{KEY: "0"})[1] == "200 OK"
    assert world.counted("would_shed", Reason.DEADLINE) == 1


def test_the_accept_loop_hears_it_too() -> None:
    world = World(hello, deadline_header=HEADER)
    assert world.guard.headers == (HEADER,)
    assert World(hello).guard.headers == ()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
    assert world.guard.consider({**environ, KEY: "5000"}) is None
    response = world.guard.consider({**environ, KEY: "0"})
    assert response is not None
    assert json.loads(response.body)["reason"] == "deadline"
    late = world.guard.consider({**environ, KEY: "500"}, 0.6)
    assert late is not None
    assert json.loads(late.body)["reason"] == "deadline"


@pytest.mark.parametrize("state", GONE_STATES)
def test_a_waited_request_whose_client_has_gone_is_dropped(state: int) -> None:
    ran, heard = [], []

    def app(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        ran.append(1)
        return hello(environ, start_response)

    world = World(app, on_shed=lambda *what: heard.append(what))
    accepted_s = world.clock.now_s() - 0.5
    body, status, headers = world.get(**{SOCKET_KEY: Socket(state), ACCEPTED_KEY: accepted_s})
    assert status == "499 Client Closed Request"
    assert "Retry-After" not in headers
    problem = json.loads(b"".join(body))
    assert (problem["reason"], problem["processed"]) == ("client_gone", False)
    assert not ran
    assert world.in_flight() == 0
    assert CURRENT.get() is None
    # Counted once, neither as served nor as refused, and in no histogram of either.
    assert world.counted("dropped", Reason.CLIENT_GONE) == 1
    assert world.recorder.value(metrics.HTTP_RESPONSES, ("GET", "(unmatched)", "499")) == 1
    assert world.recorder.count(metrics.HTTP_DURATION, ("GET", "(unmatched)")) == 0
    assert world.recorder.count(metrics.SHED_DURATION, ()) == 0
    assert not world.guard.pressed()
    assert heard == [(Lane.READ, Reason.CLIENT_GONE)]


@pytest.mark.parametrize(
    ("state", "waited_s", "asked"),
    [(8, 0.0, 0), (8, 0.004, 0), (ESTABLISHED, 0.5, 1), (None, 0.5, 1)],
)
def test_only_who_has_waited_and_is_known_to_be_gone(
    state: int | None, waited_s: float, asked: int
) -> None:
    world, sock = World(hello), Socket(state)
    accepted_s = world.clock.now_s() - waited_s
    assert world.get(**{SOCKET_KEY: sock, ACCEPTED_KEY: accepted_s})[1] == "200 OK"
    assert sock.asked == asked


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_a_mode_that_enforces_nothing_drops_nothing(mode: Mode) -> None:
    # In shadow mode it would not have waited for so long if requests had been shed.
    world = World(hello, mode=mode)
    told = {SOCKET_KEY: Socket(8), ACCEPTED_KEY: world.clock.now_s() - 0.5}
    assert world.get(**told)[1] == "200 OK"
    assert world.counted("admitted", Reason.OK) == 1


def test_the_accept_loop_refuses_nobody_who_has_gone() -> None:
    world = World(hello, slots=0)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", SOCKET_KEY: Socket(8)}
    for waited_s, status in [(0.0, 503), (0.5, 499)]:
        response = world.guard.consider(dict(environ), waited_s)
        assert response is not None
        assert response.status == status
    assert world.counted("shed", Reason.POOL_SATURATED) == 1
    assert world.counted("dropped", Reason.CLIENT_GONE) == 1


def test_dropped_requests_are_told_below_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "guard"):
        RefusalLog(FakeClock()).note(Lane.READ, Reason.CLIENT_GONE)
    record = caplog.records[0]
    assert record.getMessage() == "dropped lane=read reason=client_gone suppressed=0"
    assert record.levelno == logging.INFO
    assert record.__dict__["guard_event"] == "dropped"


def test_an_application_that_hands_the_error_on_answers_the_same() -> None:
    response = response_for(ClientGone("gone"), "https://example.org/gone")
    assert response.status == 499
    assert json.loads(response.body)["type"] == "https://example.org/gone"


@pytest.mark.parametrize("waits", [True, False])
def test_who_waited_for_a_connection_and_has_gone_gives_his_turn_up(
    request_of: Begin, *, waits: bool
) -> None:
    world = DatabaseWorld(slots=1 if waits else 2)
    scope = request_of(world)
    other = world.controller.admit(world.controller.scope(Lane.READ), Lane.READ)[1]
    assert other is not None
    world.controller._lanes[Lane.READ].hold_s = 0.0005
    scope.client_gone = lambda: True  # type: ignore[method-assign]
    if not waits:
        world.ask()
        return
    ran: list[int] = []
    with pytest.raises(ClientGone):
        world.database.read(lambda _: ran.append(1))
    assert not ran
    assert scope.reason is Reason.CLIENT_GONE
    assert not scope.executed
    assert world.gate.heard == [(Outcome.NEUTRAL, 3)]
    assert world.backend.signals(Lane.READ).in_use == 0


def test_shadow_mode_lets_nobody_give_his_turn_up(request_of: Begin) -> None:
    world = DatabaseWorld(mode=Mode.SHADOW)
    scope = request_of(world)
    scope.may_wait = True
    scope.client_gone = lambda: True  # type: ignore[method-assign]
    world.ask()


def test_a_request_that_has_executed_something_is_never_dropped(request_of: Begin) -> None:
    world = DatabaseWorld()
    scope = request_of(world)
    world.ask()
    scope.may_wait = True
    scope.client_gone = lambda: True  # type: ignore[method-assign]
    world.ask()


def test_the_wait_for_a_connection_counts_against_the_deadline(request_of: Begin) -> None:
    world = DatabaseWorld()
    scope = request_of(world)
    scope.deadline_at_s = scope.arrived_s + 1.0
    take = world.backend._take

    def slow_take(lane: Lane, wait_s: float) -> None:
        world.clock.advance(0.9)
        take(lane, wait_s)

    world.backend._take = slow_take  # type: ignore[method-assign]

    def unit(session: object) -> None:
        world.clock.advance(0.2)
        session.execute("SELECT 1")  # type: ignore[attr-defined]

    with pytest.raises(StatementTimeout):
        world.database.read(unit)
    assert scope.executed


def test_no_connection_until_the_deadline_is_told_as_the_deadline(request_of: Begin) -> None:
    world = DatabaseWorld(pool_size=1)
    scope = request_of(world)
    scope.deadline_at_s = scope.arrived_s + 1.0
    take = world.backend._pools[Lane.READ].take

    def late(_wait_s: float, **_: object) -> None:
        world.clock.advance(1.1)
        take(0.0)

    with world.database.stream():
        world.backend._pools[Lane.READ].take = late  # type: ignore[method-assign]
        CURRENT.set(None)
        CURRENT.set(other := world.controller.scope(Lane.READ))
        other.deadline_at_s = other.arrived_s + 1.0
        with pytest.raises(Shed) as caught:
            world.ask()
        other.release()
    assert caught.value.reason is Reason.DEADLINE


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_a_clients_deadline_cuts_nothing_that_is_not_enforced(
    request_of: Begin, mode: Mode
) -> None:
    world = DatabaseWorld(mode=mode)
    scope = request_of(world)
    scope.deadline_at_s = scope.arrived_s
    assert world.ask() == []
