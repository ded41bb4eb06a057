"""A client's deadline ends what runs for it, on every backend, and the answer says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from backend_cases import ITEMS, BackendCase, Options, ids
from werkzeug.test import EnvironBuilder, run_wsgi_app

from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.database import Database
from guard.middleware import Guard
from guard.request import CURRENT
from guard.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Backend, Session

    Unit = Callable[[Session], object]
    Opened = Callable[[Options], Backend]

HEADER = "X-Request-Timeout-Ms"
LIMITS = Limits(Policy.PREDICTIVE, permits_max=4, waiters_max=2, wait_budget_s=1.0)


class World:
    """An application that runs units of work for its requests, guarded, on one backend."""

    def __init__(self, backend: Backend) -> None:
        # An operator who allows anything: what ends a statement here is the client's word.
        rules = Rules(
            lanes=dict.fromkeys(Lane, LIMITS), deadline_s=600.0, statement_timeout_s=600.0
        )
        slots = {lane: lambda: 1 for lane in Lane}
        self.controller = Controller(rules, slots)
        self.database = Database(backend, self.controller, "any")
        self.units: list[Unit] = []
        self.guard = Guard(self._app, self.controller, hold="connection", deadline_header=HEADER)

    def _app(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        reads = environ["REQUEST_METHOD"] == "GET"
        for unit in self.units:
            (self.database.read if reads else self.database.write)(unit)
        start("200 OK", [("Content-Length", "0")])
        return []

    def ask(self, method: str, within_ms: int, *units: Unit) -> tuple[int, dict[str, Any], bool]:
        """Return status, problem and whether there is a Retry-After."""
        self.units = list(units)
        environ = EnvironBuilder(method=method, headers={HEADER: str(within_ms)}).get_environ()
        body, status, headers = run_wsgi_app(self.guard, environ, buffered=True)
        text = b"".join(body)
        return int(status[:3]), json.loads(text) if text else {}, "Retry-After" in headers


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_running_statement_ends_and_the_answer_says_that_it_had_begun(
    opened: Opened, backend_case: BackendCase, method: str
) -> None:
    world = World(opened(Options(size=1, statement_timeout_s=600.0)))
    status, problem, retry = world.ask(method, 400, lambda s: s.execute(backend_case.slow))
    assert (status, problem["processed"], retry) == (504, True, False)
    # The connection is whole, and belongs to the next one.
    assert world.ask(method, 60_000, lambda s: s.execute("SELECT 1"))[0] == 200


def test_what_a_write_did_before_its_deadline_is_undone(
    opened: Opened, backend_case: BackendCase
) -> None:
    backend = opened(Options(size=1, statement_timeout_s=600.0))
    world = World(backend)

    def write_and_stay(session: Session) -> None:
        session.execute("INSERT INTO items VALUES (1, 'a', NULL)")
        session.execute(backend_case.slow)

    status, problem, retry = world.ask("POST", 400, write_and_stay)
    assert (status, problem["processed"], retry) == (504, True, False)
    assert ids(backend) == []


def test_a_deadline_that_passes_between_two_uses_leaves_no_refusal(opened: Opened) -> None:
    backend = opened(Options(size=1))
    world = World(backend)

    def and_then_too_late(session: Session) -> None:
        session.execute("SELECT 1")
        scope_ends(world)

    status, problem, retry = world.ask(
        "GET", 60_000, and_then_too_late, lambda s: s.execute("SELECT 1")
    )
    assert (status, problem["processed"], retry) == (504, True, False)


def test_a_deadline_that_has_passed_is_refused_before_anything_is_executed(
    opened: Opened,
) -> None:
    backend = opened(Options(size=1))
    world = World(backend)
    status, problem, retry = world.ask("POST", 0, lambda _: backend.insert(ITEMS, (1, "a", None)))
    assert (status, problem["processed"], problem["reason"]) == (503, False, "deadline")
    assert retry
    assert ids(backend) == []


def scope_ends(world: World) -> None:
    """Let the deadline of the request under way be now."""
    scope = CURRENT.get()
    assert scope is not None
    scope.deadline_at_s = world.controller.clock.now_s()
