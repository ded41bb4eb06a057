from fractions import Fraction
from math import ceil, floor, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.admission import Limits, Signals, decide
from guard.core.priority import BELOW, Shares, decide_in_part, limits_by_class, patient
from guard.core.vocabulary import Policy, Priority, Reason

LANE = Limits(Policy.PREDICTIVE, permits_max=24, waiters_max=16, wait_budget_s=0.04)
CRITICAL, NORMAL, SHEDDABLE = Priority

shares = st.tuples(st.integers(0, 18), st.integers(0, 20), st.integers(0, 20)).map(
    lambda drawn: Shares(drawn[0] / 20, max(drawn[1:]) / 20, min(drawn[1:]) / 20)
)
lanes = st.builds(
    lambda policy, pool, waiters, budget_s: Limits(policy, pool + waiters, waiters, budget_s),
    st.sampled_from(Policy), st.integers(1, 40), st.integers(0, 40), st.floats(0.001, 30),
)  # fmt: skip
signals = st.builds(
    Signals,
    serving=st.just(Reason.OK),
    breaker_admits=st.booleans(),
    in_flight=st.integers(0, 80),
    unfinished=st.integers(0, 80),
    slots=st.integers(0, 40),
    hold_s=st.floats(0, 1),
    standing_queue=st.booleans(),
    age_s=st.floats(0, 5),
    deadline_s=st.one_of(st.just(inf), st.floats(0, 10)),
)


def at(unfinished, **more):
    """Return a lane of 8 slots of 20 ms, with so many requests."""
    return Signals(Reason.OK, True, unfinished, unfinished, 8, 0.02, False)._replace(**more)  # noqa: FBT003 - a tuple's field


@pytest.mark.parametrize(
    ("share", "priority", "permits", "waiters", "budget_s"),
    [
        (Shares(), CRITICAL, 24, 16, 0.08),
        (Shares(), NORMAL, 24, 16, 0.04),
        (Shares(), SHEDDABLE, 12, 4, 0.01),
        (Shares(0.0, 0.5, 0.25), NORMAL, 16, 8, 0.02),
        (Shares(0.0, 0.0, 0.0), NORMAL, 8, 0, 0.0),
        # Reserved: a part of the permits first takes the queue, then connections.
        (Shares(0.25, 1.0, 0.25), CRITICAL, 24, 16, 0.08),
        (Shares(0.25, 1.0, 0.25), NORMAL, 18, 16, 0.04),
        (Shares(0.25, 1.0, 0.25), SHEDDABLE, 12, 4, 0.01),
        (Shares(0.75, 0.5, 0.25), NORMAL, 6, 8, 0.02),
        (Shares(0.9, 0.5, 0.25), NORMAL, 2, 8, 0.02),
    ],
)
def test_a_class_sees_its_part_of_the_lane(share, priority, permits, waiters, budget_s):
    limits = limits_by_class(LANE, share)[priority]
    assert (limits.permits_max, limits.waiters_max) == (permits, waiters)
    assert limits.wait_budget_s == pytest.approx(budget_s)


@pytest.mark.parametrize(
    ("unfinished", "critical", "normal", "sheddable"),
    [
        (7, Reason.OK, Reason.OK, Reason.OK),
        (11, Reason.OK, Reason.OK, Reason.OK),
        (12, Reason.OK, Reason.OK, Reason.LOW_PRIORITY),
        (15, Reason.OK, Reason.OK, Reason.LOW_PRIORITY),
        (16, Reason.OK, Reason.LOW_PRIORITY, Reason.LOW_PRIORITY),
        (23, Reason.OK, Reason.LOW_PRIORITY, Reason.LOW_PRIORITY),
        (24, Reason.POOL_SATURATED, Reason.POOL_SATURATED, Reason.POOL_SATURATED),
    ],
)
def test_lower_classes_are_shed_first(unfinished, critical, normal, sheddable):
    classes = limits_by_class(LANE, Shares(0.0, 0.5, 0.25))
    found = [decide_in_part(at(unfinished), own, own, LANE).reason for own in classes.values()]
    assert found == [critical, normal, sheddable]


@pytest.mark.parametrize(
    ("unfinished", "reason"),
    [
        (11, Reason.OK),
        (12, Reason.UNFAIR_SHARE),
        (15, Reason.UNFAIR_SHARE),
        (16, Reason.LOW_PRIORITY),
        (24, Reason.POOL_SATURATED),
    ],
)
def test_a_greedy_client_is_told_so_where_its_class_had_room(unfinished, reason):
    classes = limits_by_class(LANE, Shares(0.0, 0.5, 0.25))
    limits, own = classes[BELOW[NORMAL]], classes[NORMAL]
    decision = decide_in_part(at(unfinished), limits, own, LANE)
    assert decision.reason is reason
    # Each that is served by one of 8 slots in 20 ms takes 2.5 ms of a wait.
    assert decision.wait_s == pytest.approx((unfinished - 7) * 0.0025)


def test_a_standing_queue_sheds_the_critical_last():
    classes = limits_by_class(LANE, Shares(0.0, 0.5, 0.25))
    old = at(0, standing_queue=True, age_s=0.5)
    assert decide(old, classes[CRITICAL]).admitted
    assert decide(old, LANE).reason is Reason.QUEUE_DELAY
    assert decide(old, patient(LANE)).admitted
    assert decide(old._replace(deadline_s=0.4), classes[CRITICAL]).reason is Reason.DEADLINE


def test_what_is_reserved_is_kept_of_a_static_share_too():
    lane = LANE._replace(policy=Policy.STATIC, pool_threshold_ratio=0.8)
    classes = limits_by_class(lane, Shares(0.25, 1.0, 0.25))
    found = [limits.pool_threshold_ratio for limits in classes.values()]
    assert found == pytest.approx([0.8, 0.6, 0.6])


@given(lanes, shares)
def test_no_class_is_wider_than_the_one_above_and_each_can_be_served(lane, share):
    classes = limits_by_class(lane, share)
    for lower, higher in [(SHEDDABLE, NORMAL), (NORMAL, CRITICAL)]:
        for name in ("permits_max", "waiters_max", "wait_budget_s", "pool_threshold_ratio"):
            assert getattr(classes[lower], name) <= getattr(classes[higher], name)
    assert classes[SHEDDABLE].permits_max >= 1
    assert classes[CRITICAL].permits_max == lane.permits_max


@given(lanes, st.integers(0, 18), st.integers(0, 20))
def test_the_parts_are_those_of_exact_arithmetic(lane, reserved, queue):
    share = Shares(reserved / 20, queue / 20, 0.0)
    normal = limits_by_class(lane, share)[NORMAL]
    pool = lane.permits_max - lane.waiters_max
    waiters = floor(lane.waiters_max * Fraction(share.normal))
    kept = ceil(lane.permits_max * Fraction(share.critical))
    assert abs(normal.waiters_max - waiters) <= 1
    assert abs(normal.permits_max - max(1, min(pool + waiters, lane.permits_max - kept))) <= 1


@given(lanes, shares, signals)
def test_what_a_class_gets_every_higher_one_gets(lane, share, now):
    classes = limits_by_class(lane, share)
    admitted = [decide_in_part(now, own, own, lane).admitted for own in classes.values()]
    assert admitted == sorted(admitted, reverse=True)


@given(lanes, shares, signals, st.sampled_from(Priority), st.booleans())
def test_a_reason_names_what_alone_refused(lane, share, now, priority, greedy):
    classes = limits_by_class(lane, share)
    own = classes[priority]
    limits = classes[BELOW[priority]] if greedy else own
    decision = decide_in_part(now, limits, own, lane)
    reason = decision.reason
    assert decision.wait_s == decide(now, limits).wait_s
    assert (reason is Reason.OK) == decide(now, limits).admitted
    if reason is Reason.UNFAIR_SHARE:
        assert greedy
        assert decide(now, own).admitted
    elif reason is Reason.LOW_PRIORITY:
        assert decide(now, lane).admitted
    elif reason is not Reason.OK:
        assert reason is decide(now, limits).reason
        assert not decide(now, lane).admitted
