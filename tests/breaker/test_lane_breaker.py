from __future__ import annotations

import logging
import threading
from typing import Never

import pytest
from breaker_world import Listener, World, answer, no_answer

from guard import metrics
from guard.breaker import BreakerStore
from guard.core.vocabulary import BreakerPhase, Outcome


def test_it_opens_is_probed_and_closes(caplog: pytest.LogCaptureFixture) -> None:
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


def test_outcomes_are_counted_and_neutral_ones_decide_nothing() -> None:
    world = World()
    for outcome in Outcome:
        world.breaker.record(outcome, world.breaker.generation)
    for _ in range(9):
        world.breaker.record(Outcome.NEUTRAL, world.breaker.generation)
    counted = {
        each: world.recorder.value(metrics.BREAKER_CALLS, ("read", each)) for each in Outcome
    }
    assert counted == {Outcome.OK: 1, Outcome.FAILURE: 1, Outcome.NEUTRAL: 10}
    assert world.breaker.phase is BreakerPhase.OPEN


def test_late_results_are_ignored() -> None:
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
def test_forced_modes(mode: str, *, admits: bool, phase: BreakerPhase) -> None:
    world = World(mode=mode)
    world.fail(5)
    world.clock.advance(100.0)
    assert not world.breaker.run_probe_if_due(no_answer)
    assert world.breaker.admits() is admits
    assert world.breaker.phase is phase
    assert world.shown() == {phase}
    assert world.breaker.remaining_s() == 0.0
    assert world.recorder.value(metrics.BREAKER_CALLS, ("read", "failure")) == 5


def test_exactly_one_probe_at_a_time() -> None:
    world = World()
    world.fail()
    world.clock.advance(1.0)
    inside, finish = threading.Event(), threading.Event()
    probes, ran = [], []

    def probe() -> None:
        probes.append(None)
        inside.set()
        assert finish.wait(20)

    def run() -> None:
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


def test_a_probe_that_never_reports_is_given_up_and_its_late_answer_ignored() -> None:
    world = World(probe_limit_s=20.0)
    world.fail()
    world.clock.advance(1.0)
    seen = []

    def hang() -> None:
        # What is wrong in here would only be a failed probe, so it is looked at outside.
        world.clock.advance(20.0)
        seen.append(world.breaker.run_probe_if_due(answer))
        seen.append(world.breaker.phase)
        world.clock.advance(0.5)

    assert world.breaker.run_probe_if_due(hang)
    assert seen == [False, BreakerPhase.OPEN]
    assert world.breaker.phase is BreakerPhase.OPEN
    assert world.breaker.remaining_s() == 1.5


def test_an_interrupted_probe_has_failed() -> None:
    world = World()
    world.fail()
    world.clock.advance(1.0)

    def interrupted() -> Never:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.breaker.run_probe_if_due(interrupted)
    assert world.breaker.phase is BreakerPhase.OPEN


def test_a_raising_listener_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Never:
        raise ValueError("broken")

    last = Listener()
    world = World(Listener(broken), last)
    world.fail()
    assert world.breaker.phase is BreakerPhase.OPEN
    assert last.heard == [("read", "closed", "open")]
    assert "a listener of the read lane's breaker failed" in caplog.text
    assert "ValueError: broken" in caplog.text


def test_the_metrics_do_not_wait_for_a_listener_that_hangs() -> None:
    inside, finish = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        assert finish.wait(20)

    listener = Listener(hang)
    world = World(listener)
    thread = threading.Thread(target=world.fail)
    thread.start()
    assert inside.wait(20)
    world.clock.advance(1.0)
    assert world.breaker.run_probe_if_due(answer)
    assert world.shown() == {BreakerPhase.CLOSED}
    assert world.breaker.admits()
    assert len(listener.heard) == 1
    finish.set()
    thread.join(20)
    assert [new for _, _, new in listener.heard] == ["open", "half-open", "closed"]


def test_listeners_are_called_outside_every_lock() -> None:
    free = []

    def look() -> None:
        def take() -> None:
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


def test_a_change_that_a_listener_causes_is_told_after_it_in_order() -> None:
    def close_again() -> None:
        world.clock.advance(1.0)
        world.breaker.run_probe_if_due(answer)

    first, second = Listener(close_again), Listener()
    world = World(first, second)
    world.fail()
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert first.heard == second.heard
    assert [new for _, _, new in second.heard] == ["open", "half-open", "closed"]
    assert world.shown() == {BreakerPhase.CLOSED}


def test_many_threads_see_every_change_told_once_and_in_order() -> None:
    listener = Listener()
    world = World(listener, min_calls=1, open_max_s=1.0)

    def use() -> None:
        for turn in range(150):
            generation = world.breaker.generation
            world.breaker.record(Outcome.FAILURE if turn % 3 else Outcome.OK, generation)
            world.clock.advance(0.5)
            world.breaker.run_probe_if_due(no_answer if turn % 2 else answer)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    befores = [before for _, before, _ in listener.heard]
    afters = [after for _, _, after in listener.heard]
    assert befores == ["closed", *afters[:-1]]
    assert len(afters) == world.breaker.generation - 1
    assert world.shown() == {BreakerPhase(afters[-1])} == {world.breaker.phase}
    told = sum(world.changes(one, other) for one in BreakerPhase for other in BreakerPhase)
    assert told == len(afters)


def test_two_breakers_over_one_store_see_each_others_changes() -> None:
    store, listener = BreakerStore.local(), Listener()
    one, other = World(store=store), World(listener, store=store)
    one.fail(1)
    other.fail(1)
    assert one.breaker.view.fail_counter == 0
    assert not one.breaker.admits()
    assert not one.breaker.admits_one()
    assert one.shown() == other.shown() == {BreakerPhase.OPEN}
    one.clock.advance(1.0)
    assert one.breaker.run_probe_if_due(lambda: other.breaker.run_probe_if_due(answer))
    assert other.breaker.admits()
    assert other.shown() == {BreakerPhase.CLOSED}
    assert [new for _, _, new in listener.heard] == ["open", "half-open"]
    other.breaker.look()
    assert [new for _, _, new in listener.heard] == ["open", "half-open", "closed"]
    # Each change is counted by whoever made it, so that the sum over workers is right.
    assert other.changes(BreakerPhase.CLOSED, BreakerPhase.OPEN) == 1
    assert one.changes(BreakerPhase.CLOSED, BreakerPhase.OPEN) == 0
    assert other.changes(BreakerPhase.HALF_OPEN, BreakerPhase.CLOSED) == 0


def test_changes_that_were_missed_in_between_are_told_all_the_same() -> None:
    store, listener = BreakerStore.local(), Listener()
    one, other = World(store=store), World(listener, store=store)
    one.fail()
    one.clock.advance(1.0)
    one.breaker.run_probe_if_due(answer)
    other.breaker.look()
    assert other.breaker.phase is BreakerPhase.CLOSED
    assert [new for _, _, new in listener.heard] == ["open", "half-open", "closed"]


def test_of_very_many_missed_changes_the_last_are_told() -> None:
    store, listener = BreakerStore.local(), Listener()
    one, other = World(store=store), World(listener, store=store)
    for _ in range(30):
        one.breaker.move(BreakerPhase.OPEN)
        one.breaker.move(BreakerPhase.CLOSED)
    other.breaker.look()
    assert [new for _, _, new in listener.heard] == ["open", "closed"] * 16


def test_after_a_good_probe_the_requests_come_back_in_steps() -> None:
    world = World(ramp_s=4.0)
    world.fail()
    world.clock.advance(1.0)
    assert world.breaker.run_probe_if_due(answer)
    draws = iter([0.09, 0.11, 0.24, 0.26, 0.49, 0.51])
    world.breaker._draw = lambda: next(draws)
    for _ in range(3):
        assert world.breaker.admits()
        assert [world.breaker.admits_one(), world.breaker.admits_one()] == [True, False]
        world.clock.advance(1.0)
    assert world.breaker.phase is BreakerPhase.RECOVERING
    assert world.breaker.view.current_state == "half-open"
    assert world.breaker.share() == 1.0
    world.clock.advance(1.0)
    world.breaker.look()
    assert world.breaker.phase is BreakerPhase.CLOSED
    assert world.recorder.value(metrics.BREAKER_SHARE, ("read",)) == 1.0


def test_a_failure_on_the_way_back_opens_again_with_a_longer_pause() -> None:
    world = World(ramp_s=4.0)
    world.fail()
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(answer)
    assert world.shown() == {BreakerPhase.RECOVERING}
    world.fail(1)
    assert world.breaker.phase is BreakerPhase.OPEN
    assert world.breaker.remaining_s() == 2.0
    assert world.changes(BreakerPhase.RECOVERING, BreakerPhase.OPEN) == 1


def test_on_the_way_back_an_old_failure_counts_in_nothing() -> None:
    world = World(ramp_s=4.0)
    before = world.breaker.generation
    world.fail()
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(answer)
    world.breaker.record(Outcome.FAILURE, before)
    assert world.breaker.phase is BreakerPhase.RECOVERING


def test_slow_connections_open_it_where_durations_are_looked_at() -> None:
    world = World(slow_s=2.0, slow_ratio=0.5, min_calls=4)
    world.clock.advance(100.0)
    for held_s in (0.1, 2.0, 2.1):
        world.breaker.held(held_s)
    assert world.breaker.phase is BreakerPhase.CLOSED
    world.breaker.held(2.1)
    assert world.breaker.phase is BreakerPhase.OPEN
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(answer)
    for _ in range(9):
        world.breaker.held(2.1)  # begun before the breaker closed
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_slow_connections_are_not_counted_where_nobody_looks() -> None:
    world = World()
    for _ in range(9):
        world.breaker.held(600.0)
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_when_another_process_is_at_the_state_for_long_a_request_goes_on() -> None:
    world = World()
    assert world.breaker._store._locks.take(0)
    world.fail(3)
    assert world.breaker.phase is BreakerPhase.CLOSED
    world.breaker._store._locks.free(0)
    world.fail(1)
    assert world.breaker.phase is BreakerPhase.OPEN


def test_the_time_of_the_opening_and_the_probes_are_measured() -> None:
    world = World()
    assert world.recorder.value(metrics.BREAKER_OPENED, ("read",)) == 0.0
    world.fail()
    opened_at_s = world.recorder.value(metrics.BREAKER_OPENED, ("read",))
    assert opened_at_s > 1.7e9
    world.clock.advance(1.0)
    world.breaker.run_probe_if_due(no_answer)
    world.clock.advance(2.0)
    world.breaker.run_probe_if_due(answer)
    assert world.recorder.value(metrics.BREAKER_OPENED, ("read",)) >= opened_at_s
    for outcome in ("ok", "failure"):
        assert world.recorder.value(metrics.BREAKER_PROBES, ("read", outcome)) == 1
    assert world.recorder.value(metrics.BREAKER_SHARE, ("read",)) == 1.0


def test_a_probe_whose_prober_died_is_run_again_at_once() -> None:
    world = World()
    world.fail()
    world.clock.advance(1.0)
    store = world.breaker._store
    held = []

    def die() -> None:
        # As the kernel does when the process dies.
        generation = world.breaker.generation
        store.free_lease(generation)
        held.append(world.breaker.run_probe_if_due(answer))

    assert world.breaker.run_probe_if_due(die)
    assert held == [True]
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_half_open_by_hand_is_probed_at_once() -> None:
    world = World()
    world.breaker.move(BreakerPhase.HALF_OPEN)
    assert not world.breaker.admits()
    assert world.breaker.run_probe_if_due(answer)
    assert world.breaker.phase is BreakerPhase.CLOSED


def test_a_lane_without_a_connection_is_checked_and_opens_where_none_can_be_had() -> None:
    world = World()
    world.breaker.check(answer)
    assert world.breaker.phase is BreakerPhase.CLOSED
    world.breaker.check(no_answer)
    assert world.breaker.phase is BreakerPhase.OPEN
    before = world.breaker.state
    world.breaker.check(no_answer)
    assert world.breaker.state == before


def test_one_worker_checks_at_a_time_and_a_late_check_changes_nothing() -> None:
    store = BreakerStore.local()
    one, other = World(store=store), World(store=store)
    asked = []

    def probe() -> Never:
        other.breaker.check(lambda: asked.append(None))
        one.breaker.move(BreakerPhase.OPEN)
        one.breaker.move(BreakerPhase.CLOSED)
        raise OSError("away")

    one.breaker.check(probe)
    assert asked == []
    assert one.breaker.phase is BreakerPhase.CLOSED


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_a_forced_breaker_is_not_checked(mode: str) -> None:
    asked = []
    World(mode=mode).breaker.check(lambda: asked.append(None))
    assert asked == []


def test_what_a_busy_database_answered_before_it_froze_outweighs_nothing() -> None:
    world = World(min_calls=5, window_s=10.0)
    world.clock.advance(100.0)
    for _ in range(400):
        world.breaker.record(Outcome.OK, world.breaker.generation)
    world.clock.advance(1.0)
    world.fail(5)
    assert world.breaker.phase is BreakerPhase.CLOSED
    world.clock.advance(1.0)
    world.fail(1)
    assert world.breaker.phase is BreakerPhase.OPEN
