"""A breaker whose rules change while it lives."""

import pytest

from guard.breaker import LaneBreaker
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.testing import FakeClock, MemoryRecorder

AUTO = BreakerRules(min_calls=4)


def breaker(rules=AUTO):
    return LaneBreaker(Lane.READ, rules, FakeClock(), lambda: 0.0, MemoryRecorder())


def fail(one, times=1):
    for _ in range(times):
        one.record(Outcome.FAILURE, one.generation)


@pytest.mark.parametrize(("mode", "admits"), [("open", False), ("closed", True), ("metrics", True)])
@pytest.mark.parametrize("failures", [0, 4])
def test_a_forced_state_covers_the_phase_and_lets_it_out_again(mode, admits, failures):
    one = breaker()
    fail(one, failures)
    assert one.admits() is (failures == 0)
    one.configure(AUTO._replace(mode=mode))
    assert one.admits() is admits
    one.configure(AUTO)
    assert one.admits() is (failures == 0)


def test_thresholds_count_from_the_next_outcome_on():
    one = breaker()
    fail(one)
    assert one.phase is BreakerPhase.CLOSED
    one.configure(AUTO._replace(min_calls=2))
    assert one.phase is BreakerPhase.CLOSED
    fail(one)
    assert one.phase is BreakerPhase.OPEN


def test_the_first_pause_is_shown_and_kept_by_the_next_opening():
    one = breaker()
    one.configure(AUTO._replace(open_s=7.0, open_max_s=9.0))
    assert one.view.reset_timeout == 7.0
    fail(one, 4)
    assert one.remaining_s() == pytest.approx(7.0)
    assert not one.run_probe_if_due(lambda: None)
