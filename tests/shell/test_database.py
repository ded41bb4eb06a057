from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from database_world import ITEMS, World

from guard.core.vocabulary import Lane, Mode, Outcome, Reason
from guard.errors import BackendBusy, BackendClosed, BackendFailed, Shed, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.request import RequestScope

    Begin = Callable[..., RequestScope]


def test_outside_of_a_request_the_permit_is_held_for_the_call() -> None:
    world = World()
    assert world.database.dialect == "duckdb"
    assert world.database.read(lambda _: world.load()) == (1, 1)
    assert world.load() == (0, 0)
    with pytest.raises(ValueError, match="odd"):
        world.database.write(lambda _: (_ for _ in ()).throw(ValueError("odd")))
    assert world.load(Lane.WRITE) == (0, 0)


def test_inside_a_request_the_permit_stays_until_its_end(request_of: Begin) -> None:
    world = World()
    scope = request_of(world)
    world.ask()
    assert world.load() == (1, 0)
    assert world.database.read(lambda _: world.load()) == (1, 1)
    assert world.load() == (1, 0)
    scope.release()
    assert world.load() == (0, 0)


def test_a_request_holds_one_permit_in_each_lane_that_it_uses(request_of: Begin) -> None:
    world = World()
    scope = request_of(world)
    world.ask()
    world.database.insert(ITEMS, (1,))
    assert (world.load(Lane.READ), world.load(Lane.WRITE)) == ((1, 0), (1, 0))
    assert world.backend.rows == [(ITEMS, (1,))]
    scope.release()
    assert (world.load(Lane.READ), world.load(Lane.WRITE)) == ((0, 0), (0, 0))


def test_a_stream_holds_its_connection_over_the_block() -> None:
    world = World()
    with world.database.stream() as session:
        assert list(session.rows("SELECT 1")) == []
        assert world.load() == (1, 1)
        assert world.backend.signals(Lane.READ).in_use == 1
    assert world.load() == (0, 0)
    assert world.gate.heard == [(Outcome.OK, 3)]


def test_an_error_in_a_streams_block_gives_everything_back() -> None:
    world = World()
    with pytest.raises(BackendFailed), world.database.stream():
        raise BackendFailed("away")
    assert world.load() == (0, 0)
    assert world.backend.signals(Lane.READ).in_use == 0
    assert world.gate.heard == [(Outcome.FAILURE, 3)]


@pytest.mark.parametrize("use", ["read", "write", "insert", "stream"])
def test_a_saturated_lane_sheds_before_anything_is_executed(use: str) -> None:
    world = World(slots=0)

    def call() -> None:
        if use == "insert":
            world.database.insert(ITEMS, (1,))
        elif use == "stream":
            with world.database.stream():
                pytest.fail("must not run")
        else:
            getattr(world.database, use)(lambda _: pytest.fail("must not run"))

    with pytest.raises(Shed) as caught:
        call()
    lane = Lane.READ if use in ("read", "stream") else Lane.WRITE
    assert (caught.value.lane, caught.value.reason) == (lane, Reason.POOL_SATURATED)
    assert caught.value.retry_after_s >= 1
    assert world.load(lane) == (0, 0)
    assert world.backend.rows == []


def test_the_refusal_is_written_into_the_request(request_of: Begin) -> None:
    world = World(slots=0)
    scope = request_of(world)
    with pytest.raises(Shed) as caught:
        world.ask()
    assert scope.reason is Reason.POOL_SATURATED
    assert scope.retry_after_s == caught.value.retry_after_s
    assert not scope.executed


def test_after_an_execution_the_same_request_is_never_shed(request_of: Begin) -> None:
    world = World()
    scope = request_of(world)
    world.ask()
    assert scope.executed
    world.slots = 0
    world.gate.open = True
    assert world.ask() == []
    assert world.database.write(lambda session: session.execute("DELETE")) == []
    assert scope.reason is Reason.OK


def test_a_unit_that_raised_has_been_executed(request_of: Begin) -> None:
    world = World()
    scope = request_of(world)
    world.backend.failure = ValueError("odd")
    with pytest.raises(ValueError, match="odd"):
        world.ask()
    assert scope.executed
    world.backend.failure = None
    world.slots = 0
    assert world.ask() == []


def test_a_busy_pool_is_told_as_a_refusal_while_nothing_was_executed() -> None:
    world = World(pool_size=0)
    with pytest.raises(Shed) as caught:
        world.ask()
    assert caught.value.reason is Reason.POOL_SATURATED
    assert isinstance(caught.value.__cause__, BackendBusy)
    assert world.load() == (0, 0)
    assert world.gate.heard == [(Outcome.NEUTRAL, 3)]


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_without_enforcement_a_busy_pool_is_told_as_it_is(mode: Mode, request_of: Begin) -> None:
    world = World(pool_size=0, mode=mode)
    # Without enforcement the wait is bounded by the deadline alone, and that by the settings'.
    request_of(world).arrived_s -= world.controller.rules.deadline_s - 0.001
    with pytest.raises(BackendBusy):
        world.ask()
    assert world.gate.heard == [(Outcome.NEUTRAL, 3)]


def test_a_busy_pool_after_an_execution_is_told_as_it_is(request_of: Begin) -> None:
    world = World(pool_size=0)
    scope = request_of(world)
    scope.executed = True
    scope.deadline_at_s = world.clock.now_s() + 0.001
    with pytest.raises(BackendBusy):
        world.ask()
    assert scope.reason is Reason.OK


@pytest.mark.parametrize(
    ("serving", "reason"), [(Reason.OK, Reason.STARTING), (Reason.DRAINING, Reason.DRAINING)]
)
def test_a_closed_database_is_told_as_a_refusal(serving: Reason, reason: Reason) -> None:
    # Off decides nothing, so the closed backend itself is what refuses.
    world = World(mode=Mode.OFF, serving=serving)
    world.backend.ready = False
    with pytest.raises(Shed) as caught:
        world.ask()
    assert caught.value.reason is reason
    assert isinstance(caught.value.__cause__, BackendClosed)
    assert world.gate.heard == [(Outcome.NEUTRAL, 3)]


def test_a_database_that_closes_after_an_execution_is_told_as_it_is(request_of: Begin) -> None:
    world = World()
    request_of(world)
    world.ask()
    world.backend.ready = False
    with pytest.raises(BackendClosed):
        world.ask()


@pytest.mark.parametrize("mode", Mode)
def test_a_passed_deadline_sheds_while_nothing_was_executed(mode: Mode, request_of: Begin) -> None:
    world = World(mode=mode)
    scope = request_of(world)
    world.clock.advance(world.controller.rules.deadline_s)
    with pytest.raises(Shed) as caught:
        world.ask()
    assert caught.value.reason is Reason.DEADLINE
    assert not scope.executed


def test_a_deadline_that_passes_after_an_execution_is_a_time_out(request_of: Begin) -> None:
    world = World()
    request_of(world)
    world.ask()
    world.clock.advance(world.controller.rules.deadline_s)
    with pytest.raises(StatementTimeout):
        world.ask()
    assert world.load() == (1, 0)
