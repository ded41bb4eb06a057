"""The published limits, step by step, and Guard's parts put together."""

from random import Random

import pytest

from guard import metrics
from guard.core.vocabulary import Lane, Mode, Outcome, Reason
from stress.simulation.clients import ONCE, Try
from stress.simulation.engine import Engine
from stress.simulation.policies import POLICIES, Setup
from stress.simulation.policies.base import Site
from stress.simulation.policies.fixed import static, unlimited
from stress.simulation.policies.guarded import Host
from stress.simulation.policies.netflix import Aimd, Gradient2, Vegas


def site(*, away=lambda: False, workers=1):
    return Site(Engine(), Random(1), workers, 2, 4, 0.2, away)


def a_try(now_s=0.0):
    return Try(ONCE, 0, now_s, 1, now_s)


def test_a_limit_bounds_what_is_under_way():
    limiter = static(site())
    tries = [a_try() for _ in range(5)]
    assert [limiter.enter(one, 0.0) for one in tries] == [True] * 4 + [False]
    limiter.leave(tries[0], 1.0, 1.0, Outcome.OK)
    assert limiter.enter(tries[4], 1.0)
    assert all(unlimited(site()).enter(a_try(), 0.0) for _ in range(1000))


@pytest.mark.parametrize(
    ("took_s", "under_way", "dropped", "limit"),
    [
        (0.02, 10, False, 21),
        (0.02, 9, False, 20),
        (5.1, 20, False, 20),
        (0.02, 20, True, 20),
    ],
)
def test_aimd_from_a_limit_of_20(took_s, under_way, dropped, limit):
    one = Aimd(site())
    one.sample(took_s, under_way, 0.0, dropped=dropped)
    assert one.limit == limit


def test_aimd_falls_by_a_tenth_to_its_least_and_rises_to_its_most():
    one = Aimd(site(), least=1, timeout_s=0.1)
    one.sample(0.2, 20, 0.0, dropped=False)
    assert one.limit == 18
    for _ in range(100):
        one.sample(0.2, 20, 0.0, dropped=True)
    assert one.limit == 1
    for _ in range(400):
        one.sample(0.01, 200, 0.0, dropped=False)
    assert one.limit == 200


@pytest.mark.parametrize(
    ("took_s", "under_way", "dropped", "limit"),
    [
        (0.1, 20, False, 26),  # no queue: 6 more
        (0.11, 20, False, 21),  # a queue of 2: 1 more
        (0.125, 20, False, 20),  # of 4: as it is
        (0.15, 20, False, 19),  # of 7: 1 less
        (0.1, 9, False, 20),  # not needed
        (0.1, 9, True, 19),
    ],
)
def test_vegas_from_a_limit_of_20_and_a_shortest_time_of_100_ms(took_s, under_way, dropped, limit):
    one = Vegas(site())
    one.sample(0.1, 20, 0.0, dropped=False)
    assert one.limit == 20
    one.sample(took_s, under_way, 0.0, dropped=dropped)
    assert one.limit == limit


def test_vegas_forgets_its_shortest_time():
    one = Vegas(site())
    one.sample(0.001, 1, 0.0, dropped=False)
    for _ in range(600):
        one.sample(0.1, 1, 0.0, dropped=False)
    one.sample(0.1, 20, 0.0, dropped=False)
    assert one.limit == 26


def test_gradient2_judges_a_second_of_answers():
    one = Gradient2(site(), least=1)
    one._ends_s = 1.0
    assert one.limit == 20

    def window(took_s, end_s):
        for now_s in (*[end_s - 0.5] * 9, end_s):
            one.sample(took_s, 20, now_s, dropped=False)

    window(0.1, 1.0)
    assert one.limit == pytest.approx(0.8 * 20 + 0.2 * 24)
    window(0.3, 2.0)
    # The long mean of 0.1 and 0.3 is 0.2, so the gradient is 1.5 * 0.2 / 0.3: no less.
    assert one.limit == pytest.approx(20.8 * 0.8 + 0.2 * 24.8)
    window(0.8, 3.0)
    # 1.5 * 0.4 / 0.8; the long mean is that of 0.1, 0.3 and 0.8.
    assert one.limit == pytest.approx(21.6 * 0.8 + 0.2 * (21.6 * 0.75 + 4))
    one.sample(9.0, 20, 4.0, dropped=False)
    assert one._windows == 3  # a single sample is no window


def test_gradient2_leaves_a_limit_alone_that_is_not_needed():
    one = Gradient2(site(), window_s=0.0)
    one.sample(0.1, 9, 0.0, dropped=False)
    assert one.limit == 20
    one.sample(0.1, 10, 0.1, dropped=False)
    assert one.limit == pytest.approx(20.8)


def decisions(host, word, reason):
    return host.board.value(metrics.DECISIONS_TOTAL, (word, reason.value, Lane.READ.value))


def test_the_guard_counts_on_its_board_and_answers_with_whole_seconds():
    host = Host(site(), Setup())
    (guard,) = host.policies
    tries = [a_try() for _ in range(7)]
    # Two connections and four that may wait.
    assert [guard.enter(one, 0.0) for one in tries] == [True] * 6 + [False]
    told_s = guard.retry_after_s()
    assert told_s == int(told_s) >= 1
    guard.waited(0.0)
    guard.leave(tries[0], 0.0, 0.02, Outcome.OK)
    guard.leave(tries[1], 0.0, None, Outcome.NEUTRAL)
    assert decisions(host, "admitted", Reason.OK) == 1
    assert decisions(host, "shed", Reason.POOL_SATURATED) == 2
    assert guard.controller.load(Lane.READ).in_flight == 4


def test_the_guard_has_no_connection_while_the_database_is_away_and_probes_until_it_is_back():
    away = [True]
    where = site(away=lambda: away[0])
    (guard,) = Host(where, Setup()).policies
    assert guard.slots() == 0
    one = a_try()
    away[0] = False
    tries = [a_try() for _ in range(6)]
    assert all(guard.enter(one, 0.0) for one in tries)
    away[0] = True
    for each in tries:
        guard.leave(each, 0.0, 0.001, Outcome.FAILURE)
    assert not guard.enter(one, 0.0)
    assert guard.breaker.remaining_s() > 0
    away[0] = False
    for at_s in (1.0, 2.0, 3.0):
        where.engine.now = at_s
        guard.look(at_s)
    assert guard.enter(a_try(3.0), 3.0)


def test_shadow_mode_admits_everybody_and_counts_whom_it_would_have_shed():
    (guard,) = Host(site(), Setup(mode=Mode.SHADOW)).policies
    assert all(guard.enter(a_try(), 0.0) for _ in range(20))
    assert guard.would_shed == 14


def test_each_worker_has_a_policy():
    for maker in POLICIES.values():
        assert len(maker(site(workers=3))) == 3
