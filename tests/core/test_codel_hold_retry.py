from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core import codel, hold_time
from guard.core.retry_after import retry_after_s
from guard.core.vocabulary import Reason

TARGET_S = 0.05


def run(waits):
    state = codel.Codel()
    for now_s, wait_s in waits:
        state = codel.observe(state, wait_s, TARGET_S, now_s)
    return state


def test_a_queue_that_never_drains_within_an_interval_stands():
    state = run([(0.0, 0.2), (0.05, 0.09), (0.11, 0.2)])
    assert codel.standing(state, 0.15)


def test_one_short_wait_in_the_interval_says_that_the_queue_drains():
    state = run([(0.0, 0.2), (0.05, 0.01), (0.11, 0.2)])
    assert not codel.standing(state, 0.15)


def test_the_first_wait_of_an_interval_counts_in_it():
    state = run([(0.0, 0.01), (0.05, 0.2), (0.11, 0.2)])
    assert not codel.standing(state, 0.15)


def test_a_wait_at_the_target_is_no_standing_queue():
    assert not run([(0.0, TARGET_S), (0.11, 0.2)]).standing


def test_a_verdict_lapses_without_news():
    state = run([(0.0, 0.2), (0.11, 0.2)])
    assert codel.standing(state, 0.30)
    assert not codel.standing(state, 0.32)


def test_old_waits_say_nothing_after_a_pause():
    assert not run([(0.0, 0.2), (5.0, 0.2)]).standing


def test_an_interval_ends_with_its_last_moment():
    assert run([(0.0, 0.2), (codel.INTERVAL_S, 0.2)]).standing
    assert not run([(0.0, 0.2), (2 * codel.INTERVAL_S, 0.2)]).standing


def test_a_verdict_lapses_with_the_second_interval():
    state = codel.Codel(interval_start_s=0.0, standing=True)
    assert codel.standing(state, 1.9 * codel.INTERVAL_S)
    assert not codel.standing(state, 2 * codel.INTERVAL_S)


def test_a_fresh_state_does_not_stand():
    assert not codel.standing(codel.Codel(), 0.0)
    assert codel.Codel().smallest_wait_s == inf


@given(st.floats(0, 100), st.lists(st.floats(0, 100), max_size=30))
def test_the_average_stays_between_the_smallest_and_the_largest_value(first, values):
    average = first
    for value in values:
        average = hold_time.update(average, value)
    seen = [first, *values]
    assert min(seen) - 1e-9 <= average <= max(seen) + 1e-9


def test_the_average_follows_a_step_within_45_uses():
    average = 0.0
    for _ in range(45):
        average = hold_time.update(average, 1.0)
    assert average > 0.9


@given(
    st.sampled_from([reason for reason in Reason if reason.sheds]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 60),
    st.integers(0, 59),
    st.floats(0, 1000),
)
def test_retry_after_is_a_whole_number_within_the_bounds(reason, draw, low, more, left):
    high = min(60, low + more)
    answer = retry_after_s(reason, draw, low, high, left)
    assert isinstance(answer, int)
    assert low <= answer <= high


@pytest.mark.parametrize(
    ("reason", "draw", "left", "answer"),
    [
        (Reason.POOL_SATURATED, 0.0, 0.0, 1),
        (Reason.POOL_SATURATED, 0.999, 0.0, 6),
        (Reason.BREAKER_OPEN, 0.0, 3.2, 5),
        (Reason.BREAKER_OPEN, 0.999, 3.2, 30),
        (Reason.BREAKER_OPEN, 0.5, 500.0, 30),
    ],
)
def test_retry_after_table(reason, draw, left, answer):
    assert retry_after_s(reason, draw, 1, 30, left) == answer


def test_without_a_known_end_of_the_outage_the_smallest_answer_may_be_given():
    assert retry_after_s(Reason.BREAKER_OPEN, 0.0, 1, 30) == 1
