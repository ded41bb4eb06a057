from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime

import pybreaker
import pytest
from breaker_world import Listener, World, answer, no_answer

from guard.core.vocabulary import BreakerPhase


def test_the_view_shows_the_state() -> None:
    world = World()
    view = world.breaker.view
    assert (view.name, view.current_state, view.state.name) == ("read", "closed", "closed")
    world.fail(1)
    assert (view.fail_counter, view.success_counter) == (1, 0)
    world.fail(1)
    assert view.current_state == pybreaker.STATE_OPEN
    assert isinstance(view.state, pybreaker.CircuitOpenState)
    world.clock.advance(1.0)
    seen = []
    world.breaker.run_probe_if_due(lambda: seen.append(view.state))
    assert isinstance(seen[0], pybreaker.CircuitHalfOpenState)
    with pytest.raises(pybreaker.CircuitBreakerError):
        seen[0].call(answer)


def test_the_view_dates_the_last_opening_and_tells_the_first_pause() -> None:
    world = World()
    storage = world.breaker.view._state_storage
    assert world.breaker.view.reset_timeout == 1.0
    assert storage.opened_at is None
    before = datetime.now(UTC)  # noqa: TID251 - the view shows wall time
    world.fail()
    after = datetime.now(UTC)  # noqa: TID251
    opened_at = storage.opened_at
    assert opened_at is not None
    assert before <= opened_at <= after
    world.clock.advance(3600.0)
    world.breaker.run_probe_if_due(answer)
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert storage.opened_at == opened_at


def test_the_view_calls_while_closed_and_raises_pybreakers_error_while_open() -> None:
    world = World()
    view = world.breaker.view
    assert view.call(divmod, 7, 2) == (3, 1)
    with view.calling():
        pass

    @view
    def guarded() -> int:
        return 5

    assert guarded() == 5
    world.fail()
    for call in (lambda: view.call(answer), guarded, lambda: view.state.call(answer)):
        with pytest.raises(pybreaker.CircuitBreakerError):
            call()
    with pytest.raises(pybreaker.CircuitBreakerError), view.calling():
        pytest.fail("the block must not run")


def test_the_view_runs_functions_side_by_side() -> None:
    view = World().breaker.view
    both = threading.Barrier(2)
    threads = [threading.Thread(target=view.call, args=(both.wait, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not both.broken


def test_failures_of_the_views_calls_count_in_nothing() -> None:
    world = World()
    for _ in range(20):
        with pytest.raises(OSError, match="away"):
            world.breaker.view.call(no_answer)
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert world.breaker.view.fail_counter == 0


def test_an_operator_sets_the_state_by_pybreakers_methods() -> None:
    listener = Listener()
    world = World(listener)
    view = world.breaker.view
    view.open()
    assert not world.breaker.admits()
    assert view._state_storage.opened_at is not None
    view.half_open()
    assert world.breaker.phase is BreakerPhase.HALF_OPEN
    view.close()
    assert world.breaker.admits()
    view.state = pybreaker.STATE_OPEN
    assert world.breaker.phase is BreakerPhase.OPEN
    assert [new for _, _, new in listener.heard] == ["open", "half-open", "closed", "open"]


@pytest.mark.parametrize("mode", ["open", "closed", "metrics"])
def test_in_a_forced_mode_states_set_by_hand_are_dropped(mode: str) -> None:
    listener = Listener()
    world = World(listener, mode=mode)
    view, storage = world.breaker.view, world.breaker.storage
    before = (world.breaker.phase, world.breaker.generation)
    for write in (view.open, view.half_open, view.close):
        write()
    for state in (pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN, pybreaker.STATE_CLOSED):
        view.state = storage.state = state
    assert (world.breaker.phase, world.breaker.generation) == before
    assert listener.heard == []


def test_the_view_shows_the_windows_failures_and_takes_none_of_pybreakers() -> None:
    world = World()
    storage = world.breaker.view._state_storage
    world.fail(1)
    storage.increment_counter()
    storage.reset_counter()
    assert world.breaker.view.fail_counter == 1
    assert world.breaker.storage.counter == 0


def test_with_failures_in_the_window_past_fail_max_the_views_caller_gets_his_own_error() -> None:
    world = World(min_calls=100)
    world.fail(20)
    with pytest.raises(OSError, match="away"):
        world.breaker.view.call(no_answer)


def test_a_process_that_shows_no_view_never_loads_pybreaker() -> None:
    # Where Redis' client is installed pybreaker loads it, and with it more than all of Guard.
    script = (
        "import sys, guard.assembly, guard.breaker as breaker\n"
        "assert 'pybreaker' not in sys.modules, 'by the import'\n"
        "from guard.breaker.faces import Faces\n"
        "faces = Faces(None, 'read', 1.0)\n"
        "faces.tell('closed', 'open')\n"
        "faces.configure(2.0)\n"
        "assert 'pybreaker' not in sys.modules, 'without a view'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_a_view_and_a_storage_are_made_once_and_know_the_latest_pause() -> None:
    breaker = World().breaker
    breaker.configure(breaker._rules._replace(open_s=7.0))

    assert breaker.view.reset_timeout == 7.0
    assert breaker.view is breaker.view
    assert breaker.storage is breaker.storage
