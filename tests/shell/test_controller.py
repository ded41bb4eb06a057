import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guard.controller import Controller
from guard.core import hold_time
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Outcome, Policy, Reason
from guard.rules import Rules
from guard.testing import FakeClock

LIMITS = Limits(Policy.PREDICTIVE, permits_max=6, waiters_max=4, wait_budget_s=0.1)


class Gate:
    """A breaker whose answer the test sets."""

    generation = 3
    open = False
    turned_away = False
    left_s = 0.0

    def admits(self):
        return not self.open

    def admits_one(self):
        return not self.open and not self.turned_away

    def record(self, outcome: Outcome, generation: int):
        """Not asked here."""

    def remaining_s(self):
        return self.left_s


def controller(mode=Mode.ENFORCE, slots=2, breakers=None, **rules):
    rules = Rules(lanes=dict.fromkeys(Lane, LIMITS), mode=mode, **rules)
    pools = {lane: lambda: slots for lane in Lane}
    return Controller(rules, pools, breakers, clock=FakeClock(), draw=lambda: 0.0)


class Notes:
    """A book that notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.bounds = []

    def appoint(self, lane, not_before_s, *, outage):
        self.asked.append((lane, not_before_s, outage))
        return 7

    def look(self, bounds_per_s):
        self.bounds.append(bounds_per_s)


@pytest.mark.parametrize(
    ("reason", "slots", "expected"),
    [
        (Reason.BREAKER_OPEN, 2, (4.5, True)),
        (Reason.BREAKER_OPEN, 0, (4.5, True)),
        (Reason.POOL_SATURATED, 2, (3 * hold_time.FIRST_GUESS_S / 2, False)),
        (Reason.POOL_SATURATED, 0, (4.5, True)),
        (Reason.STARTING, 0, (0.0, False)),
        (Reason.DRAINING, 2, (3 * hold_time.FIRST_GUESS_S / 2, False)),
    ],
)
def test_the_book_is_told_whether_the_database_is_away(reason, slots, expected):
    gate = Gate()
    gate.left_s = 4.5
    control = controller(slots=2, breakers={Lane.READ: gate})
    control.book = book = Notes()
    for _ in range(3):
        control.admit(control.scope(Lane.READ), Lane.READ)
    control._lanes[Lane.READ].slots = lambda: slots
    assert control.retry_after_s(Lane.READ, reason) == 7
    assert book.asked == [(Lane.READ, *expected)]


def test_the_book_hears_what_the_slots_can_do():
    control = controller(slots=2)
    control.look()
    control.book = book = Notes()
    control.look()
    assert book.bounds == [dict.fromkeys(Lane, pytest.approx(2 / hold_time.FIRST_GUESS_S))]


def test_while_a_breaker_recovers_the_lot_is_drawn_once_at_the_exact_gate():
    gate = Gate()
    gate.turned_away = True
    control = controller(breakers={Lane.READ: gate})
    scope = control.scope(Lane.READ)
    assert control.check(scope, Lane.READ).admitted
    decision, permit = control.admit(scope, Lane.READ)
    assert (decision.reason, permit) == (Reason.BREAKER_OPEN, None)


def test_a_permit_is_released_exactly_once():
    control = controller()
    _, permit = control.admit(control.scope(Lane.READ), Lane.READ)
    assert control.load(Lane.READ)[:2] == (1, 1)
    permit.finish()
    permit.finish()
    assert control.load(Lane.READ)[:2] == (1, 0)
    permit.resume()
    permit.resume()
    assert control.load(Lane.READ)[:2] == (1, 1)
    permit.release()
    permit.release()
    permit.resume()
    assert control.load(Lane.READ)[:2] == (0, 0)


def test_a_request_that_gave_its_connection_back_makes_room_in_the_pool_but_keeps_its_thread():
    control = controller(slots=1)
    permits = [control.admit(control.scope(Lane.READ), Lane.READ)[1] for _ in range(5)]
    assert control.check(control.scope(Lane.READ), Lane.READ).reason is Reason.POOL_SATURATED
    for permit in permits:
        permit.finish()
    assert control.admit(control.scope(Lane.READ), Lane.READ)[0].admitted
    assert control.check(control.scope(Lane.READ), Lane.READ).reason is Reason.THREADS_EXHAUSTED


def test_a_forced_permit_is_counted_and_never_refused():
    control = controller(slots=0)
    decision, permit = control.admit(control.scope(Lane.WRITE), Lane.WRITE, forced=True)
    assert decision.admitted
    assert permit is not None
    assert control.load(Lane.WRITE).in_flight == 1


def test_an_open_breaker_sheds_its_own_lane_only_and_puts_the_return_after_the_probe():
    gate = Gate()
    gate.open, gate.left_s = True, 4.0
    control = controller(breakers={Lane.WRITE: gate})
    assert control.check(control.scope(Lane.WRITE), Lane.WRITE).reason is Reason.BREAKER_OPEN
    assert control.check(control.scope(Lane.READ), Lane.READ).admitted
    assert control.retry_after_s(Lane.WRITE, Reason.BREAKER_OPEN) == 5
    assert control.retry_after_s(Lane.READ, Reason.POOL_SATURATED) == 1
    assert control.breaker(Lane.WRITE) is gate


def test_a_slow_database_sheds_by_the_measured_hold_time():
    control = controller(slots=2)
    permits = [control.admit(control.scope(Lane.READ), Lane.READ)[1] for _ in range(2)]
    assert control.check(control.scope(Lane.READ), Lane.READ).admitted
    for _ in range(100):
        control.held(Lane.READ, 1.0)
    assert control.load(Lane.READ).hold_s == pytest.approx(1.0, abs=0.01)
    assert control.check(control.scope(Lane.READ), Lane.READ).reason is Reason.POOL_SATURATED
    assert control.load(Lane.WRITE).hold_s == hold_time.FIRST_GUESS_S
    assert len(permits) == 2


def test_a_standing_queue_sheds_old_requests():
    control = controller()
    for _ in range(2):
        control.waited(Lane.READ, 0.09)
        control.clock.advance(0.11)
    control.waited(Lane.READ, 0.09)
    old, fresh = control.scope(Lane.READ, age_s=0.21), control.scope(Lane.READ)
    assert control.check(old, Lane.READ).reason is Reason.QUEUE_DELAY
    assert control.check(fresh, Lane.READ).admitted


def test_the_wait_follows_the_deadline():
    control = controller(deadline_s=1.0)
    scope = control.scope(Lane.READ)
    for after_s, left_s, wait_s in [(0.0, 1.0, 0.4), (0.8, 0.2, 0.2), (0.3, -0.1, -0.1)]:
        control.clock.advance(after_s)
        assert control.left_s(scope) == pytest.approx(left_s)
        assert control.wait_bound_s(scope, Lane.READ, left_s) == pytest.approx(wait_s)


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_without_enforcement_the_wait_is_bounded_by_the_deadline_alone(mode):
    control = controller(mode, slots=0)
    scope = control.scope(Lane.READ)
    decision, permit = control.admit(scope, Lane.READ)
    assert permit is not None
    assert decision.admitted is (mode is Mode.OFF)
    assert control.check(scope, Lane.READ).admitted is (mode is Mode.OFF)
    assert control.wait_bound_s(scope, Lane.READ, 10.0) == pytest.approx(10.0)
    scope.deadline_at_s = scope.arrived_s + 1.0
    assert control.left_s(scope) == pytest.approx(10.0)


class PermitMachine(RuleBasedStateMachine):
    """The lanes' counters against a plain list of who holds what."""

    def __init__(self):
        super().__init__()
        self.control = controller()
        self.held = []

    @rule(lane=st.sampled_from(Lane), forced=st.booleans())
    def admit(self, lane, forced):
        _, permit = self.control.admit(self.control.scope(lane), lane, forced=forced)
        if permit is not None:
            self.held.append([lane, permit, True])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def step(self, data):
        index = data.draw(st.integers(0, len(self.held) - 1))
        entry = self.held[index]
        what = data.draw(st.sampled_from(["finish", "resume", "release"]))
        getattr(entry[1], what)()
        if what == "release":
            entry[1].release()
            del self.held[index]
        else:
            entry[2] = what == "resume"

    @invariant()
    def counters_agree(self):
        for lane in Lane:
            mine = [entry for entry in self.held if entry[0] is lane]
            load = self.control.load(lane)
            assert load.in_flight == len(mine)
            assert load.unfinished == sum(entry[2] for entry in mine)


PermitMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestPermits = PermitMachine.TestCase


def test_a_long_queue_that_has_gone_does_not_shut_the_early_gate_for_ever():
    control = controller(deadline_s=1.0)
    control.arrived(12.0, control.clock.now_s())
    control.clock.advance(11.9)
    late = control.scope(Lane.READ, control.queue_age_s)
    assert control.check(late, Lane.READ).reason is Reason.DEADLINE
    control.clock.advance(0.1)
    assert control.queue_age_s == 0.0
    assert control.check(control.scope(Lane.READ, control.queue_age_s), Lane.READ).admitted
