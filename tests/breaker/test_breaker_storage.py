"""pybreaker's own breakers over the shared storage keep all of pybreaker's promises."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pybreaker
import pytest
from breaker_world import World, answer

from guard.board import Board
from guard.breaker import BreakerStore
from guard.core.vocabulary import BreakerPhase, Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 3600.0


def fails() -> None:
    raise NotImplementedError


def works() -> bool:
    return True


def local_store() -> BreakerStore:
    return BreakerStore.local()


def board_store() -> BreakerStore:
    board = Board.anonymous(1)
    return board.claim(0, os.getpid()).breakers.stores[Lane.READ]


@pytest.fixture(params=[local_store, board_store], ids=["local", "board"])
def world(request: pytest.FixtureRequest) -> World:
    return World(store=request.param())


@pytest.fixture
def storage(world: World) -> pybreaker.CircuitBreakerStorage:
    return world.breaker.storage


def breaker(
    storage: pybreaker.CircuitBreakerStorage, **options: object
) -> pybreaker.CircuitBreaker:
    return pybreaker.CircuitBreaker(state_storage=storage, **options)


def trip(one: pybreaker.CircuitBreaker) -> None:
    for _ in range(one.fail_max - 1):
        with pytest.raises(NotImplementedError):
            one.call(fails)
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)


def let_time_pass(storage: pybreaker.CircuitBreakerStorage) -> None:
    """Make the opening as old as no time-out is."""
    storage.opened_at -= timedelta(seconds=2 * LONG_S)


def test_calls_that_work_keep_it_closed(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage)
    assert one.call(works)
    assert (one.fail_counter, one.current_state) == (0, "closed")


def test_a_failure_counts_and_a_success_forgets_it(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage)
    with pytest.raises(NotImplementedError):
        one.call(fails)
    assert (one.fail_counter, one.current_state) == (1, "closed")
    assert one.call(works)
    assert (one.fail_counter, one.current_state) == (0, "closed")


def test_it_opens_at_the_last_failure_allowed(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage, fail_max=3)
    trip(one)
    assert (one.fail_counter, one.current_state) == (3, "open")


def test_without_an_error_of_its_own_the_caller_gets_his(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage, fail_max=3, throw_new_error_on_trip=False)
    for _ in range(3):
        with pytest.raises(NotImplementedError):
            one.call(fails)
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)
    assert (one.fail_counter, one.current_state) == (3, "open")


def test_the_error_of_the_trip_has_the_cause(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage, fail_max=1)
    with pytest.raises(pybreaker.CircuitBreakerError) as caught:
        one.call(fails)
    assert isinstance(caught.value.__context__, NotImplementedError)


def test_after_its_time_one_failure_opens_it_again(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage, fail_max=3, reset_timeout=LONG_S)
    trip(one)
    let_time_pass(storage)
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)
    assert (one.fail_counter, one.current_state) == (4, "open")


def test_after_its_time_one_success_closes_it(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage, fail_max=3, reset_timeout=LONG_S)
    trip(one)
    called = []
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(called.append, 1)
    let_time_pass(storage)
    one.call(called.append, 2)
    assert called == [2]
    assert (one.fail_counter, one.current_state) == (0, "closed")


def test_half_open_by_hand_then_a_failure(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage)
    one.half_open()
    assert (one.fail_counter, one.current_state) == (0, "half-open")
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)
    assert (one.fail_counter, one.current_state) == (1, "open")


def test_half_open_by_hand_then_a_success(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage)
    one.half_open()
    assert one.call(works)
    assert (one.fail_counter, one.current_state) == (0, "closed")


def test_as_many_successes_close_it_as_are_asked_for(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage, success_threshold=3)
    one.half_open()
    for done in (1, 2):
        assert one.call(works)
        assert (one.success_counter, one.current_state) == (done, "half-open")
    assert one.call(works)
    assert (one.success_counter, one.current_state) == (0, "closed")


def test_a_failure_among_the_successes_opens_it(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage, success_threshold=3)
    one.half_open()
    assert one.call(works)
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)
    one.half_open()
    assert (one.success_counter, one.current_state) == (0, "half-open")


def test_closed_by_hand_the_failures_are_forgotten(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage, fail_max=3)
    trip(one)
    one.close()
    assert (one.fail_counter, one.current_state) == (0, "closed")


class Story(pybreaker.CircuitBreakerListener):
    """Writes down all that it hears."""

    def __init__(self) -> None:
        self.heard = []

    def state_change(self, _cb, old_state, new_state) -> None:
        self.heard.append(f"{old_state.name}->{new_state.name}")

    def before_call(self, *_call, **_kwargs) -> None:
        self.heard.append("call")

    def success(self, _cb) -> None:
        self.heard.append("success")

    def failure(self, _cb, _exc) -> None:
        self.heard.append("failure")


def test_listeners_hear_of_changes(storage: pybreaker.CircuitBreakerStorage) -> None:
    story = Story()
    one = breaker(storage, listeners=[story])
    one.open()
    one.half_open()
    one.close()
    assert story.heard == ["closed->open", "open->half-open", "half-open->closed"]


def test_listeners_hear_of_calls(storage: pybreaker.CircuitBreakerStorage) -> None:
    story = Story()
    one = breaker(storage, listeners=[story])
    one.call(works)
    with pytest.raises(NotImplementedError):
        one.call(fails)
    assert story.heard == ["call", "success", "call", "failure"]


def test_generators_count_when_they_end(storage: pybreaker.CircuitBreakerStorage) -> None:
    one = breaker(storage)

    @one
    def numbers(*, broken: bool) -> Iterator[int]:
        yield 1
        if broken:
            raise NotImplementedError

    broken = numbers(broken=True)
    next(broken)
    with pytest.raises(NotImplementedError):
        next(broken)
    assert one.fail_counter == 1
    assert list(numbers(broken=False)) == [1]
    assert one.fail_counter == 0


def test_it_guards_the_body_of_a_context_manager(
    storage: pybreaker.CircuitBreakerStorage,
) -> None:
    one = breaker(storage)

    @contextmanager
    @one
    def block() -> Iterator[None]:
        yield

    with pytest.raises(NotImplementedError), block():
        fails()
    with pytest.raises(NotImplementedError), one.calling():
        fails()
    assert one.fail_counter == 2


@pytest.mark.parametrize("state", ["open", "closed", "half-open"])
def test_a_breaker_begins_in_the_storages_state_and_leaves_it(
    storage: pybreaker.CircuitBreakerStorage, state: str
) -> None:
    storage.state = state
    opened_at = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    storage.opened_at = opened_at
    one = breaker(storage)
    assert (one.state.name, one.current_state) == (state, state)
    other = breaker(storage)
    assert (other.state.name, storage.state, storage.opened_at) == (state, state, opened_at)


def test_two_breakers_over_one_storage_are_one(storage: pybreaker.CircuitBreakerStorage) -> None:
    one, other = breaker(storage, fail_max=3), breaker(storage, fail_max=3)
    with pytest.raises(NotImplementedError):
        one.call(fails)
    with pytest.raises(NotImplementedError):
        other.call(fails)
    assert one.fail_counter == other.fail_counter == 2
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(fails)
    assert other.current_state == "open"
    with pytest.raises(pybreaker.CircuitBreakerError):
        other.call(works)


def test_a_time_without_a_zone_is_utc(storage: pybreaker.CircuitBreakerStorage) -> None:
    storage.opened_at = datetime(2024, 5, 6)  # noqa: DTZ001 - as old code gives it
    assert storage.opened_at == datetime(2024, 5, 6, tzinfo=UTC)


def test_an_unknown_state_is_refused(storage: pybreaker.CircuitBreakerStorage) -> None:
    with pytest.raises(ValueError, match="ajar"):
        storage.state = "ajar"


def test_what_pybreakers_own_breaker_decides_is_in_force_for_guard_and_the_other_way_round(
    world: World,
) -> None:
    one = breaker(world.breaker.storage, fail_max=2)
    trip(one)
    assert not world.breaker.admits()
    world.clock.advance(1.0)
    assert world.breaker.run_probe_if_due(answer)
    assert one.current_state == "closed"
    world.fail(2)
    assert one.current_state == "open"
    assert one.fail_counter == 2  # Guard's failures are not pybreaker's
    with pytest.raises(pybreaker.CircuitBreakerError):
        one.call(works)


def test_a_recovering_breaker_is_half_open_for_pybreaker() -> None:
    world = World(ramp_s=4.0)
    one = breaker(world.breaker.storage)
    world.fail()
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(answer)
    assert world.breaker.phase is BreakerPhase.RECOVERING
    assert one.current_state == "half-open"
    one.call(works)
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_where_a_stopped_process_holds_the_breaker_a_write_is_given_up(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.breaker.view._WAIT_S", 0.0)
    assert world.breaker._store._locks.take(0)
    world.breaker.storage.increment_counter()
    assert world.breaker.storage.counter == 0
    assert "is held by a stopped process" in caplog.text
    world.breaker._store._locks.free(0)
