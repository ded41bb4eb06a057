from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.admission import (
    ADMITTED,
    Limits,
    Signals,
    admits_at_once,
    decide,
    predicted_wait_s,
)
from guard.core.vocabulary import Policy, Reason

LIMITS = Limits(Policy.PREDICTIVE, permits_max=8, waiters_max=4, wait_budget_s=0.1)
IDLE = Signals(
    serving=Reason.OK,
    breaker_admits=True,
    in_flight=0,
    unfinished=0,
    slots=4,
    hold_s=0.05,
    standing_queue=False,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, Reason.OK),
        ({"serving": Reason.STARTING}, Reason.STARTING),
        ({"serving": Reason.DRAINING, "breaker_admits": False}, Reason.DRAINING),
        ({"breaker_admits": False, "slots": 0}, Reason.BREAKER_OPEN),
        ({"slots": 0}, Reason.POOL_SATURATED),
        ({"unfinished": 3, "in_flight": 3}, Reason.OK),
        ({"unfinished": 7, "in_flight": 7, "hold_s": 0.01}, Reason.OK),
        ({"unfinished": 8, "in_flight": 8, "hold_s": 0.01}, Reason.POOL_SATURATED),
        ({"unfinished": 0, "in_flight": 8}, Reason.THREADS_EXHAUSTED),
        # wait = (7 + 1 - 4) * h / 4 = h, exactly at and just over the budget
        ({"unfinished": 7, "in_flight": 7, "hold_s": 0.1}, Reason.OK),
        ({"unfinished": 7, "in_flight": 7, "hold_s": 0.1001}, Reason.POOL_SATURATED),
        ({"standing_queue": True, "age_s": 0.05}, Reason.OK),
        ({"standing_queue": True, "age_s": 0.051}, Reason.QUEUE_DELAY),
        ({"standing_queue": False, "age_s": 5.0}, Reason.OK),
        # age 0.01 + wait 0.05 is more than half the budget, although neither is
        ({"standing_queue": True, "age_s": 0.01}, Reason.OK),
        (
            {"standing_queue": True, "age_s": 0.01, "unfinished": 7, "in_flight": 7},
            Reason.QUEUE_DELAY,
        ),
        # age 0.9 + wait 0.05 + hold 0.05 against the deadline
        ({"unfinished": 7, "in_flight": 7, "age_s": 0.9, "deadline_s": 1.0}, Reason.OK),
        ({"unfinished": 7, "in_flight": 7, "age_s": 0.91, "deadline_s": 1.0}, Reason.DEADLINE),
        # a smaller pool than asked makes the same load wait longer
        ({"unfinished": 3, "in_flight": 3, "slots": 1}, Reason.POOL_SATURATED),
    ],
)
def test_each_rule_gives_its_reason(change, reason):
    decision = decide(IDLE._replace(**change), LIMITS)
    assert decision.reason is reason
    assert decision.admitted is (reason is Reason.OK)
    assert reason.sheds is not decision.admitted


@pytest.mark.parametrize(
    ("unfinished", "slots", "reason"),
    [
        (3, 4, Reason.OK),
        (4, 4, Reason.POOL_SATURATED),
        (35, 40, Reason.OK),
        (36, 40, Reason.POOL_SATURATED),
    ],
)
def test_static_policy_sheds_at_the_share_of_the_pool(unfinished, slots, reason):
    limits = LIMITS._replace(policy=Policy.STATIC, permits_max=100)
    signals = IDLE._replace(unfinished=unfinished, in_flight=unfinished, slots=slots, hold_s=9.0)
    assert decide(signals, limits).reason is reason


def test_without_a_connection_the_wait_is_endless():
    assert predicted_wait_s(0, 0, 0.01) == inf
    assert decide(IDLE._replace(slots=0), LIMITS).wait_s == inf


signals = st.builds(
    Signals,
    serving=st.sampled_from([Reason.OK, Reason.STARTING, Reason.DRAINING]),
    breaker_admits=st.booleans(),
    in_flight=st.integers(0, 50),
    unfinished=st.integers(0, 50),
    slots=st.integers(0, 20),
    hold_s=st.floats(0, 10),
    standing_queue=st.booleans(),
    age_s=st.floats(0, 60),
    deadline_s=st.one_of(st.just(inf), st.floats(0, 60)),
)
limits = st.builds(
    Limits,
    policy=st.sampled_from(Policy),
    permits_max=st.integers(1, 50),
    waiters_max=st.integers(0, 30),
    wait_budget_s=st.floats(0.001, 30),
    pool_threshold_ratio=st.floats(0.05, 1.0),
    patience_ratio=st.floats(0.01, 4.0),
)


@given(signals, limits)
def test_an_admitted_request_keeps_every_bound(signals, limits):
    decision = decide(signals, limits)
    if decision.admitted:
        assert signals.serving is Reason.OK
        assert signals.breaker_admits
        assert signals.slots > 0
        assert signals.in_flight < limits.permits_max
        assert signals.age_s + decision.wait_s + signals.hold_s <= signals.deadline_s
        if limits.policy is Policy.PREDICTIVE:
            assert decision.wait_s <= limits.wait_budget_s
            assert signals.unfinished - signals.slots < limits.waiters_max


@given(signals, limits)
def test_a_decision_tells_the_wait_that_it_is_made_by(signals, limits):
    decision = decide(signals, limits)
    wait_s = predicted_wait_s(signals.unfinished, signals.slots, signals.hold_s)
    asked = signals.serving is Reason.OK and signals.breaker_admits
    assert decision.wait_s == (wait_s if asked else 0.0)


@given(signals, limits)
def test_more_load_never_turns_a_refusal_into_an_admission(signals, limits):
    heavier = signals._replace(
        unfinished=signals.unfinished + 1, in_flight=signals.in_flight + 1, age_s=signals.age_s + 1
    )
    if decide(heavier, limits).admitted:
        assert decide(signals, limits).admitted


@given(signals, limits)
def test_an_idle_lane_with_a_connection_admits(signals, limits):
    idle = signals._replace(
        serving=Reason.OK, breaker_admits=True, in_flight=0, unfinished=0,
        slots=max(1, signals.slots), age_s=0.0, deadline_s=inf,
    )  # fmt: skip
    free = limits._replace(waiters_max=max(0, limits.waiters_max))
    assert decide(idle, free) == ADMITTED


@given(
    st.tuples(
        st.integers(0, 12), st.integers(0, 12), st.integers(0, 6),
        st.floats(0.001, 2), st.floats(-1, 2),
    ),
    st.tuples(st.sampled_from(Policy), st.integers(0, 12), st.integers(0, 6)),
)  # fmt: skip
def test_the_short_way_admits_only_what_the_rules_admit_without_a_wait(state, allowed):
    in_flight, unfinished, slots, hold_s, left_s = state
    policy = allowed[0]
    limits = Limits(*allowed, 0.1)
    at_once = admits_at_once(in_flight, unfinished, slots, hold_s, left_s, limits)
    decision = decide(
        IDLE._replace(
            in_flight=in_flight, unfinished=unfinished, slots=slots, hold_s=hold_s,
            deadline_s=left_s,
        ),
        limits,
    )  # fmt: skip
    if at_once:
        assert decision is ADMITTED
    elif policy is Policy.PREDICTIVE and hold_s > 0:
        assert not (decision.admitted and decision.wait_s == 0.0)
