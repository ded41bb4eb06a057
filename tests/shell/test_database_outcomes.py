from __future__ import annotations

from typing import TYPE_CHECKING, Never

import pytest
from database_world import ITEMS, World

from guard.breaker import LaneBreaker
from guard.controller import Controller
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Mode, Outcome, Reason
from guard.database import Database
from guard.errors import BackendFailed, Shed, StatementTimeout
from guard.testing import FakeClock, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Session
    from guard.request import RequestScope

    Begin = Callable[..., RequestScope]


def test_shadow_mode_admits_against_its_decision_and_says_so(request_of: Begin) -> None:
    world = World(slots=0, mode=Mode.SHADOW)
    scope = request_of(world)
    assert world.ask() == []
    assert (scope.would_shed, scope.reason) == (True, Reason.POOL_SATURATED)
    world.gate.open = True
    world.database.insert(ITEMS, (1,))
    assert scope.reason is Reason.POOL_SATURATED


def test_off_decides_nothing(request_of: Begin) -> None:
    world = World(slots=0, mode=Mode.OFF)
    scope = request_of(world)
    assert world.ask() == []
    assert (scope.would_shed, scope.reason) == (False, Reason.OK)
    assert world.load() == (1, 0)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (BackendFailed("away"), Outcome.FAILURE),
        (StatementTimeout("slow"), Outcome.NEUTRAL),
        (ValueError("the client's fault"), Outcome.OK),
    ],
)
def test_the_breaker_hears_how_it_ended_with_the_generation_of_the_start(
    error: Exception, outcome: Outcome
) -> None:
    world = World()

    def unit(_session: Session) -> Never:
        world.gate.generation = 4
        raise error

    with pytest.raises(type(error)):
        world.database.read(unit)
    world.ask()
    assert world.gate.heard == [(outcome, 3), (Outcome.OK, 4)]


def test_a_lane_without_a_breaker_works() -> None:
    world = World()
    control = Controller(
        world.controller.rules, {lane: lambda: 2 for lane in Lane}, clock=world.clock
    )
    assert Database(world.backend, control, "duckdb").read(lambda _: 5) == 5


def test_an_outage_opens_the_breaker_and_a_probe_ends_it() -> None:
    clock = FakeClock()
    rules = BreakerRules(min_calls=3, ramp_s=0.0)
    breaker = LaneBreaker(Lane.READ, rules, clock, lambda: 0.0, MemoryRecorder())
    world = World(breaker=breaker)
    world.backend.failure = BackendFailed("away")
    for _ in range(3):
        with pytest.raises(BackendFailed):
            world.ask()
    with pytest.raises(Shed) as caught:
        world.ask()
    assert caught.value.reason is Reason.BREAKER_OPEN
    assert caught.value.retry_after_s > breaker.remaining_s()
    world.backend.failure = None
    clock.advance(1.0)
    assert breaker.run_probe_if_due(lambda: world.backend.probe(Lane.READ, 1.0))
    assert breaker.phase is BreakerPhase.CLOSED
    assert world.ask() == []


def test_saturation_never_opens_the_breaker() -> None:
    breaker = LaneBreaker(
        Lane.READ, BreakerRules(min_calls=1), FakeClock(), lambda: 0.0, MemoryRecorder()
    )
    world = World(pool_size=0, breaker=breaker)
    for _ in range(5):
        with pytest.raises(Shed):
            world.ask()
    assert breaker.phase is BreakerPhase.CLOSED
