"""Whole runs: by hand, against theory, and what must hold in every one of them."""

import os
import subprocess
import sys
from dataclasses import replace
from math import factorial, inf
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.simulation.cases import case
from stress.simulation.clients import OBEDIENT, ONCE, STUBBORN
from stress.simulation.database import SPREADS, Service, slowing, steady
from stress.simulation.figures import figures, per_second, possible, simulate
from stress.simulation.policies import GUARD, POLICIES, each
from stress.simulation.policies.base import Limiter
from stress.simulation.situation import SITUATIONS, Situation
from stress.simulation.tally import FAILED, SHED
from stress.simulation.timeline import AWAY, FROZEN, Stage, Timeline
from stress.simulation.world import World

BY_NAME = {situation.name: situation for situation in SITUATIONS}
FOR_EVER = ONCE._replace(timeout_s=inf)


def ends(situation, policy, dues_s):
    """Run some requests; return for each its end and latency, in the order of the ends."""
    world = World(situation, POLICIES[policy], 1, iter(dues_s))
    world.run()
    return [(round(end_s, 6), round(took_s, 6)) for end_s, took_s, _ in world.tally.ends()]


def single(**changes):
    """One connection whose queries take a second."""
    return replace(
        Situation(name="", service=Service(steady(1.0)), load=1.0, pool=1, kinds=(FOR_EVER,)),
        **changes,
    )


def test_one_connection_serves_in_order():
    assert ends(single(), "none", [0.0, 0.5, 0.6, 5.0]) == [
        (1.0, 1.0),
        (2.0, 1.5),
        (3.0, 2.4),
        (6.0, 1.0),
    ]


def test_a_limit_of_two_refuses_the_third_at_once():
    assert ends(single(), "static", [0.0, 0.5, 0.6]) == [(0.6, SHED), (1.0, 1.0), (2.0, 1.5)]


def test_who_gives_up_is_served_all_the_same_and_nobody_reads_it():
    found = ends(single(kinds=(ONCE._replace(timeout_s=1.2),)), "none", [0.0, 0.5, 2.1])
    # The second would have got its answer after 1.5 s; the third is not served before 3.1.
    assert found == [(1.0, 1.0), (1.7, FAILED), (3.1, 1.0)]


def test_the_guard_gives_the_turn_of_one_that_has_gone_to_the_next():
    half = Service(steady(0.5))
    impatient = single(service=half, kinds=(ONCE._replace(timeout_s=0.6),), budget_s=10.0)
    # The third's turn would be at 1.0, when it has been gone for long; the fourth has come by then.
    dues_s = [0.0, 0.05, 0.06, 0.95]
    assert ends(impatient, GUARD, dues_s)[-1] == (1.5, 0.55)
    assert ends(impatient, "none", dues_s)[-1] == (1.55, FAILED)


def test_newest_first_turns_the_order_round_while_the_queue_stands():
    class Turned(Limiter):
        def newest_first(self):
            return True

    world = World(single(), each(lambda site: Turned(site, 9)), 1, iter([0.0, 0.5, 0.6, 0.7]))
    world.run()
    assert [first_s for _, _, first_s in world.tally.ends()] == [0.0, 0.7, 0.6, 0.5]


def test_threads_bound_what_is_inside_and_the_rest_waits_in_front():
    # A limit of two can't fire with one thread: that is what the guard's check at start is for.
    assert ends(single(threads=1), "static", [0.0, 0.5, 0.6]) == [
        (1.0, 1.0),
        (2.0, 1.5),
        (3.0, 2.4),
    ]


def test_a_wait_for_a_connection_ends_at_four_budgets():
    frozen = Service(steady(0.1), "fixed", Timeline([Stage(0.05, FROZEN), Stage(3.0, 1.0)]))
    found = ends(single(service=frozen, budget_s=0.2), GUARD, [0.0, 0.1])
    assert found == [(0.9, SHED), (3.05, 3.05)]


def test_an_obedient_client_comes_back_when_told_and_a_stubborn_one_gives_up_after_its_tries():
    once = single(kinds=(OBEDIENT._replace(timeout_s=inf),))
    world = World(once, POLICIES["static"], 1, iter([0.0, 0.1, 0.2]))
    world.run()
    assert (world.tally.shed, world.tally.answered, world.fresh) == (1, 3, 3)
    first_back_s = max(world.tally.sent_s())
    assert 1.2 < first_back_s < 1.22
    away = single(service=Service(steady(1.0), "fixed", Timeline([Stage(0.0, AWAY)])))
    world = World(replace(away, kinds=(STUBBORN,)), POLICIES["none"], 1, iter([0.0]))
    world.run()
    assert (world.tally.sent, world.tally.failed, world.tally.waiting) == (6, 6, 0)


def erlang_b(servers, offered):
    """The share that is lost where nobody can wait."""
    terms = [offered**n / factorial(n) for n in range(servers + 1)]
    return terms[-1] / sum(terms)


def erlang_c(servers, offered):
    """The share that waits where everybody can."""
    lost = erlang_b(servers, offered)
    return lost / (1 - offered / servers * (1 - lost))


def test_mean_waits_are_those_of_erlang_c():
    servers, load, hold_s = 4, 0.8, 0.02
    situation = Situation(
        name="", service=Service(steady(hold_s), "exponential"), load=load, length_s=200.0,
        pool=servers, threads=10_000, kinds=(FOR_EVER,),
    )  # fmt: skip
    _, world = simulate(situation, "none", POLICIES["none"], 3)
    wait_s = erlang_c(servers, servers * load) * hold_s / (servers * (1 - load))
    took_s = mean(took_s for _, took_s, _ in world.tally.answers())
    assert took_s == pytest.approx(hold_s + wait_s, rel=0.04)


@pytest.mark.parametrize("spread", ["fixed", "exponential", "bimodal"])
def test_the_lost_are_those_of_erlang_b_whatever_the_service_times(spread):
    situation = Situation(
        name="", service=Service(steady(0.02), spread), load=1.0, length_s=60.0, pool=8
    )
    found, world = simulate(situation, "lost", each(lambda site: Limiter(site, site.pool)), 4)
    assert found.shed_share == pytest.approx(erlang_b(8, 8.0), rel=0.06)
    assert world.database.busy_max == 8


@pytest.mark.parametrize("name", ["2x", "5x", "bimodal, 2x"])
def test_the_guard_keeps_the_capacity_and_no_limit_loses_it(name):
    situation = replace(BY_NAME[name], length_s=8.0)
    guard, none = (simulate(situation, one, POLICIES[one], 1)[0] for one in (GUARD, "none"))
    assert guard.good_share > 0.95
    assert none.good_share < 0.4
    assert guard.p99_ms < 300


def test_the_guard_keeps_its_budget_however_many_may_wait():
    situation = replace(BY_NAME["5x"], length_s=4.0, waiters=200, threads=300)
    guard, static = (simulate(situation, one, POLICIES[one], 1)[0] for one in (GUARD, "static"))
    assert guard.good_share > 0.95
    assert guard.p50_ms < 80
    assert static.p50_ms < guard.p99_ms < 300


class Witness(World):
    """Keeps all tries, and looks at everything every 50 ms."""

    def __init__(self, *args):
        super().__init__(*args)
        self.tries = []
        self.engine.at(0.0, self.witness)

    def _send(self, one):
        self.tries.append(one)
        super()._send(one)

    def witness(self):
        tally, it = self.tally, self.situation
        unheard = sum(not one.heard for one in self.tries)
        assert tally.sent == len(self.tries)
        assert tally.answered + tally.shed + tally.failed == unheard
        assert tally.waiting == len(self.tries) - unheard
        assert self.database.busy == sum(worker.used for worker in self.workers)
        assert self.database.busy_max <= it.connections
        for worker in self.workers:
            assert 0 <= worker.used <= it.pool
            assert worker.used <= worker.inside <= it.threads
            assert worker.inside - worker.used <= len(worker.held())
        self.engine.at(self.engine.now + 0.05, self.witness)


situations = st.builds(
    Situation,
    name=st.just(""),
    service=st.builds(
        Service,
        st.sampled_from([steady(0.02), steady(0.2), slowing(2, 0.3, 0.02)]),
        st.sampled_from(list(SPREADS)),
        st.sampled_from(
            [
                Timeline(),
                Timeline([Stage(0.5, 0.2)]),
                Timeline([Stage(0.5, FROZEN), Stage(1.0, 1.0)]),
                Timeline([Stage(0.3, AWAY), Stage(0.8, 1.0)]),
            ]
        ),
    ),
    load=st.sampled_from([0.5, 1.5, 4.0]),
    length_s=st.just(1.5),
    burst=st.sampled_from([1, 9]),
    kinds=st.sampled_from([(ONCE,), (OBEDIENT,), (STUBBORN,), (ONCE._replace(timeout_s=0.05),)]),
    hosts=st.integers(1, 2),
    workers=st.integers(1, 2),
    pool=st.integers(1, 4),
    threads=st.sampled_from([3, 30]),
    waiters=st.integers(1, 8),
    budget_s=st.sampled_from([0.02, 0.5]),
)


@settings(max_examples=25)
@given(situations, st.sampled_from(list(POLICIES)), st.integers(0, 1000))
def test_no_try_is_lost_and_no_connection_used_twice(situation, policy, seed):
    world = Witness(situation, POLICIES[policy], seed)
    world.run()
    world.witness()
    assert world.tally.waiting == 0
    assert world.fresh == len({(one.first_s, id(one)) for one in world.tries if one.number == 1})
    assert world.tally.answered <= world.fresh
    again, _ = simulate(situation, policy, POLICIES[policy], seed)
    assert again.digest == world.tally.digest()


def test_another_seed_is_another_run():
    situation = replace(BY_NAME["2x, all retry"], length_s=1.0)
    digests = {simulate(situation, GUARD, POLICIES[GUARD], seed)[0].digest for seed in range(3)}
    assert len(digests) == 3


def test_the_same_seed_is_the_same_run_in_another_process():
    code = (
        "from stress.simulation.cases import case\n"
        "from stress.simulation.figures import simulate\n"
        "from stress.simulation.policies import GUARD, POLICIES\n"
        "print(simulate(case(29), GUARD, POLICIES[GUARD], 29)[0].digest)\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    mine = simulate(case(29), GUARD, POLICIES[GUARD], 29)[0]
    assert other.stdout.strip() == mine.digest


def test_figures_of_a_run_by_hand():
    situation = single(kinds=(ONCE,), length_s=10.0, load=0.3)
    world = World(situation, POLICIES["static"], 1, iter([0.0, 0.5, 0.6, 5.0]))
    world.run()
    found = figures(world, "static", 1, 0.0)
    # The second gives up after a second; the answers to first and last take just as long.
    assert (found.fresh, found.sent, found.answered, found.shed, found.failed) == (4, 4, 2, 1, 1)
    assert (found.waiting, found.good, found.busy_max) == (0, 2, 1)
    assert found.possible == pytest.approx(3.0)
    assert (found.p50_ms, found.p99_ms) == (1000.0, 1000.0)
    assert (found.shed_share, found.failed_share, found.served_share) == (0.25, 0.25, 0.5)
    assert per_second(world) == {
        "sent": [3, 0, 0, 0, 0, 1, 0],
        "good": [0, 1, 0, 0, 0, 0, 1],
        "shed": [1, 0, 0, 0, 0, 0, 0],
        "failed": [0, 1, 0, 0, 0, 0, 0],
    }


def test_what_is_possible_is_bounded_by_load_and_by_capacity_at_each_moment():
    plain = Situation(name="", service=Service(steady(0.1)), load=0.5, length_s=10.0, pool=1)
    assert possible(plain) == pytest.approx(50)
    assert possible(replace(plain, load=3.0)) == pytest.approx(100)
    stages = Timeline([Stage(2.0, AWAY), Stage(4.0, 1.0)])
    away = replace(plain, service=plain.service._replace(stages=stages))
    assert possible(away) == pytest.approx(40)
    surge = replace(away, surges=Timeline([Stage(3.0, 4.0), Stage(5.0, 1.0)]))
    assert possible(surge) == pytest.approx(10 + 0 + 10 + 25)
