import logging
import threading

import pybreaker
import pytest

from guard import metrics
from guard.breaker import LaneBreaker
from guard.breaker_store import LocalStore
from guard.core import breaker as core
from guard.core.breaker import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.testing import FakeClock, MemoryRecorder

RULES = BreakerRules(min_calls=2, open_s=1.0, open_max_s=4.0)


class World:
    """A breaker with its parts at hand."""

    def __init__(self, *listeners, store=None, **rules):
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.breaker = LaneBreaker(
            Lane.READ, RULES._replace(**rules), self.clock, lambda: 0.0, self.recorder,
            listeners, store,
        )  # fmt: skip

    def fail(self, times=2):
        for _ in range(times):
            self.breaker.record(Outcome.FAILURE, self.breaker.generation)

    def shown(self):
        return {
            phase
            for phase in BreakerPhase
            if self.recorder.value(metrics.BREAKER_STATE, ("read", phase.value))
        }

    def changes(self, before, after):
        labels = ("read", before.value, after.value)
        return self.recorder.value(metrics.BREAKER_TRANSITIONS, labels)


class Listener(pybreaker.CircuitBreakerListener):
    """Writes down what it hears; may check or raise."""

    def __init__(self, then=lambda: None):
        self.heard = []
        self.then = then

    def state_change(self, cb, old_state, new_state):
        self.heard.append((cb.name, old_state.name, new_state.name))
        self.then()


def answer():
    """Stand for a database that answers."""


def no_answer():
    raise OSError("away")


def test_it_opens_is_probed_and_closes(caplog):
    listener = Listener()
    world = World(listener)
    with caplog.at_level(logging.WARNING, "guard.breaker"):
        assert world.breaker.admits()
        assert world.shown() == {BreakerPhase.CLOSED}
        world.fail()
        assert not world.breaker.admits()
        assert world.shown() == {BreakerPhase.OPEN}
        assert world.breaker.remaining_s() == 1.0
        assert not world.breaker.run_probe_if_due(answer)
        world.clock.advance(1.0)
        assert world.breaker.run_probe_if_due(no_answer)
        assert world.breaker.remaining_s() == 2.0
        world.clock.advance(2.0)
        assert world.breaker.run_probe_if_due(answer)
    assert world.breaker.admits()
    assert world.breaker.remaining_s() == 0.0
    assert world.shown() == {BreakerPhase.CLOSED}
    assert world.changes(BreakerPhase.OPEN, BreakerPhase.HALF_OPEN) == 2
    assert world.changes(BreakerPhase.HALF_OPEN, BreakerPhase.CLOSED) == 1
    assert listener.heard == [
        ("read", "closed", "open"),
        ("read", "open", "half-open"),
        ("read", "half-open", "open"),
        ("read", "open", "half-open"),
        ("read", "half-open", "closed"),
    ]
    assert len([entry for entry in caplog.records if entry.levelno == logging.WARNING]) == 5


def test_outcomes_are_counted_and_neutral_ones_decide_nothing():
    world = World()
    for outcome in Outcome:
        world.breaker.record(outcome, 0)
    for _ in range(9):
        world.breaker.record(Outcome.NEUTRAL, 0)
    counted = {
        each: world.recorder.value(metrics.BREAKER_CALLS, ("read", each)) for each in Outcome
    }
    assert counted == {Outcome.OK: 1, Outcome.FAILURE: 1, Outcome.NEUTRAL: 10}
    assert world.breaker.phase is BreakerPhase.OPEN


def test_late_results_are_ignored():
    world = World()
    before = world.breaker.generation
    world.fail()
    world.breaker.record(Outcome.OK, before)
    assert world.breaker.phase is BreakerPhase.OPEN
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(answer)
    for _ in range(5):
        world.breaker.record(Outcome.FAILURE, before)
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert world.breaker.view.fail_counter == 0


@pytest.mark.parametrize(
    ("mode", "admits", "phase"),
    [
        ("open", False, BreakerPhase.OPEN),
        ("closed", True, BreakerPhase.CLOSED),
        ("metrics", True, BreakerPhase.CLOSED),
    ],
)
def test_forced_modes(mode, admits, phase):
    world = World(mode=mode)
    world.fail(5)
    world.clock.advance(100.0)
    assert not world.breaker.run_probe_if_due(no_answer)
    assert world.breaker.admits() is admits
    assert world.breaker.phase is phase
    assert world.shown() == {phase}
    assert world.breaker.remaining_s() == 0.0
    assert world.recorder.value(metrics.BREAKER_CALLS, ("read", "failure")) == 5


def test_exactly_one_probe_at_a_time():
    world = World()
    world.fail()
    world.clock.advance(1.0)
    inside, finish = threading.Event(), threading.Event()
    probes, ran = [], []

    def probe():
        probes.append(None)
        inside.set()
        assert finish.wait(20)

    def run():
        ran.append(world.breaker.run_probe_if_due(probe))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert inside.wait(20)
    assert world.breaker.phase is BreakerPhase.HALF_OPEN
    assert not world.breaker.admits()
    assert not world.breaker.run_probe_if_due(probe)
    finish.set()
    for thread in threads:
        thread.join(20)
    assert len(probes) == 1
    assert sorted(ran) == [False] * 7 + [True]
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_a_probe_that_never_reports_is_given_up_and_its_late_answer_ignored():
    world = World(probe_limit_s=20.0)
    world.fail()
    world.clock.advance(1.0)

    def hang():
        world.clock.advance(20.0)
        assert not world.breaker.run_probe_if_due(answer)
        assert world.breaker.phase is BreakerPhase.OPEN

    assert world.breaker.run_probe_if_due(hang)
    assert world.breaker.phase is BreakerPhase.OPEN
    assert world.breaker.remaining_s() == 2.0


def test_an_interrupted_probe_has_failed():
    world = World()
    world.fail()
    world.clock.advance(1.0)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.breaker.run_probe_if_due(interrupted)
    assert world.breaker.phase is BreakerPhase.OPEN


def test_a_raising_listener_is_logged_and_harms_nobody(caplog):
    def broken():
        raise ValueError("broken")

    last = Listener()
    world = World(Listener(broken), last)
    world.fail()
    assert world.breaker.phase is BreakerPhase.OPEN
    assert last.heard == [("read", "closed", "open")]
    assert "a listener of the read lane's breaker failed" in caplog.text
    assert "ValueError: broken" in caplog.text


def test_listeners_are_called_outside_every_lock():
    free = []

    def look():
        def take():
            view_free = world.breaker.view._lock.acquire(blocking=False)
            free.append((world.breaker._lock.locked(), view_free))
            if view_free:
                world.breaker.view._lock.release()

        # The view's lock is reentrant, so only another thread sees whether it is held.
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(20)

    world = World()
    world.breaker.view.add_listener(Listener(look))
    world.fail()
    assert free == [(False, True)]


def test_a_change_that_a_listener_causes_is_told_after_it_in_order():
    def close_again():
        world.clock.advance(1.0)
        world.breaker.run_probe_if_due(answer)

    first, second = Listener(close_again), Listener()
    world = World(first, second)
    world.fail()
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert first.heard == second.heard
    assert [new for _, _, new in second.heard] == ["open", "half-open", "closed"]
    assert world.shown() == {BreakerPhase.CLOSED}


def test_the_view_shows_the_state():
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


def test_the_view_calls_while_closed_and_raises_pybreakers_error_while_open():
    world = World()
    view = world.breaker.view
    assert view.call(divmod, 7, 2) == (3, 1)
    with view.calling():
        pass

    @view
    def guarded():
        return 5

    assert guarded() == 5
    world.fail()
    for call in (lambda: view.call(answer), guarded, lambda: view.state.call(answer)):
        with pytest.raises(pybreaker.CircuitBreakerError):
            call()
    with pytest.raises(pybreaker.CircuitBreakerError), view.calling():
        pytest.fail("the block must not run")


def test_the_view_runs_functions_side_by_side():
    view = World().breaker.view
    both = threading.Barrier(2)
    threads = [threading.Thread(target=view.call, args=(both.wait, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not both.broken


def test_failures_of_the_views_calls_count_in_nothing():
    world = World()
    for _ in range(20):
        with pytest.raises(OSError, match="away"):
            world.breaker.view.call(no_answer)
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert world.breaker.view.fail_counter == 0


@pytest.mark.parametrize("mode", ["auto", "open"])
def test_pybreakers_writes_are_dropped(mode):
    listener = Listener()
    world = World(listener, mode=mode)
    view, storage = world.breaker.view, world.breaker.view._state_storage
    world.fail(1)
    before = (world.breaker.phase, world.breaker.generation, view.fail_counter)
    for write in (view.open, view.half_open, view.close):
        write()
    view.state = pybreaker.STATE_HALF_OPEN
    storage.state = pybreaker.STATE_OPEN
    storage.opened_at = None
    storage.increment_counter()
    storage.increment_success_counter()
    storage.reset_counter()
    assert (world.breaker.phase, world.breaker.generation, view.fail_counter) == before
    assert storage.opened_at is None
    assert listener.heard == []


def test_with_failures_in_the_window_past_fail_max_the_views_caller_gets_his_own_error():
    world = World(min_calls=100)
    world.fail(20)
    with pytest.raises(OSError, match="away"):
        world.breaker.view.call(no_answer)


def test_two_breakers_over_one_store_see_each_others_changes():
    store = LocalStore(core.initial(RULES))
    one, other = World(store=store), World(Listener(), store=store)
    one.fail()
    assert not other.breaker.run_probe_if_due(answer)
    assert not other.breaker.admits()
    assert other.shown() == {BreakerPhase.OPEN}
    one.clock.advance(1.0)
    assert one.breaker.run_probe_if_due(lambda: other.breaker.run_probe_if_due(answer))
    other.clock.advance(1.0)
    assert not other.breaker.run_probe_if_due(answer)
    assert other.breaker.admits()


def test_changes_that_were_missed_in_between_are_told_as_none():
    store = LocalStore(core.initial(RULES))
    one, other = World(store=store), World(store=store)
    one.fail()
    one.clock.advance(1.0)
    one.breaker.run_probe_if_due(answer)
    other.fail(1)
    assert other.breaker.phase is BreakerPhase.CLOSED
    assert other.changes(BreakerPhase.CLOSED, BreakerPhase.CLOSED) == 0
