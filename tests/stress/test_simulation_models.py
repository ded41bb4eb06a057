"""Clients, databases and balancers by themselves."""

from collections import Counter
from itertools import islice
from math import inf
from random import Random
from statistics import mean, pstdev
from types import SimpleNamespace

import pytest

from guard.core.vocabulary import Outcome
from stress.simulation.balancers import BALANCERS
from stress.simulation.clients import OBEDIENT, STUBBORN, Arrivals
from stress.simulation.database import (
    REFUSED_S,
    SPREADS,
    WATCHDOG_S,
    Database,
    Service,
    slowing,
    steady,
)
from stress.simulation.engine import Engine
from stress.simulation.timeline import AWAY, FROZEN, Stage, Timeline


def database(service, now_s=0.0):
    return Database(Engine(now_s), service, Random(1))


@pytest.mark.parametrize(
    ("spread", "deviation"),
    [("fixed", 0.0), ("uniform", 0.289), ("gamma", 0.5), ("exponential", 1.0), ("bimodal", 1.5)],
)
def test_service_times_have_the_mean_and_the_deviation_that_they_say(spread, deviation):
    draw = Random(7)
    found = [SPREADS[spread](draw) for _ in range(40_000)]
    assert mean(found) == pytest.approx(1.0, abs=0.03)
    assert pstdev(found) == pytest.approx(deviation, abs=0.05)


def test_a_database_that_slows_with_concurrency_counts_what_is_in_use():
    one = database(Service(slowing(2, 0.5, 0.1)))
    ends = [one.begin(inf).end_s for _ in range(4)]
    assert ends == pytest.approx([0.1, 0.1, 0.1 * 1.5 * 1.5, 0.1 * 2 * 2])
    assert (one.busy, one.busy_max) == (4, 4)
    one.end()
    assert (one.busy, one.busy_max) == (3, 4)


def test_the_capacity_is_what_the_best_number_of_connections_gives():
    assert Service(steady(0.02)).capacity_per_s(8) == pytest.approx(400)
    assert Service(slowing(4, 0.25, 0.01)).capacity_per_s(16) == pytest.approx(400)
    assert Service(slowing(4, 0.25, 0.01)).capacity_per_s(3) == pytest.approx(300)


@pytest.mark.parametrize(
    ("now_s", "bound_s", "end_s", "outcome"),
    [
        (0.0, 5.0, 1.0, Outcome.OK),
        (9.5, 20.0, 15.5, Outcome.OK),
        (9.5, 0.2, 9.7, Outcome.NEUTRAL),
        (9.5, 5.0, 14.5 + WATCHDOG_S, Outcome.FAILURE),
        (19.5, 5.0, 20.0, Outcome.FAILURE),
        (25.0, 5.0, 25.0 + REFUSED_S, Outcome.FAILURE),
    ],
)
def test_how_a_use_ends_when_the_database_freezes_or_goes(now_s, bound_s, end_s, outcome):
    stages = Timeline([Stage(10.0, FROZEN), Stage(15.0, 1.0), Stage(20.0, AWAY)])
    found = database(Service(steady(1.0), "fixed", stages), now_s).begin(bound_s)
    assert found == (pytest.approx(end_s), outcome)


def test_a_slow_host_takes_longer_and_only_a_database_that_is_away_is_away():
    assert database(Service(steady(1.0))).begin(inf, slowness=5.0).end_s == 5.0
    service = Service(steady(1.0), "fixed", Timeline([Stage(1.0, FROZEN), Stage(2.0, AWAY)]))
    assert [service.away(at_s) for at_s in (0.5, 1.5, 2.5)] == [False, False, True]


def test_obedient_clients_wait_as_told_and_others_as_they_like():
    draw = Random(1)
    for _ in range(50):
        assert 3.0 < OBEDIENT.back_s(1, 3.0, draw) < 3.02
        for number, pause_s in ((1, 0.1), (2, 0.2), (3, 0.4)):
            assert 0.5 * pause_s <= STUBBORN.back_s(number, 3.0, draw) <= 1.5 * pause_s
            # Nothing was told: an error, or no answer in time.
            assert 0.5 * pause_s <= OBEDIENT.back_s(number, 0.0, draw) <= 1.5 * pause_s


def test_arrivals_come_at_their_rate_and_as_many_more_in_a_surge():
    arrivals = Arrivals(100.0, 60.0, Timeline([Stage(20.0, 3.0), Stage(40.0, 1.0)]))
    dues = list(arrivals.dues_s(Random(3)))
    parts = Counter(int(due_s // 20) for due_s in dues)
    assert dues == sorted(dues)
    assert [parts[n] for n in range(3)] == pytest.approx([2000, 6000, 2000], rel=0.1)


def test_bursts_come_at_one_moment():
    dues = list(islice(Arrivals(100.0, 10.0, burst=20).dues_s(Random(3)), 60))
    assert sorted(Counter(dues).values()) == [20, 20, 20]


@pytest.mark.parametrize("name", BALANCERS)
def test_balancers_reach_every_worker(name):
    workers = [SimpleNamespace(load=number // 2) for number in range(6)]
    choose = BALANCERS[name](workers, 2, Random(1))
    found = Counter(id(choose()) for _ in range(600))
    assert len(found) == 6
    by_host = [found[id(workers[at])] + found[id(workers[at + 1])] for at in (0, 2, 4)]
    if name == "better of two":
        assert by_host[0] > by_host[1] > by_host[2]
    else:
        assert by_host == pytest.approx([200] * 3, abs=45)
    if name == "in turns":
        assert by_host == [200] * 3
