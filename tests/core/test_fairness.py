from math import exp, inf, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.fairness import (
    CLIENTS_MAX,
    DEVIATIONS,
    FADED,
    MEMORY_S,
    NEARLY,
    PERIOD_S,
    Fairness,
    fair_level,
)


@pytest.mark.parametrize(
    ("asked", "total", "level"),
    [
        ([], 0, inf),
        ([5], 5, inf),
        ([5], 4, 4),
        ([1, 1, 10], 6, 4),
        ([1, 5, 10], 7, 3),
        ([3, 3, 3], 6, 2),
        ([2, 4], 6, inf),
        ([2, 4], 0, 0),
    ],
)
def test_the_fair_level(asked, total, level):
    assert fair_level(asked, total) == level


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30), st.floats(0, 1))
def test_the_level_meets_as_much_demand_as_there_is(asked, part):
    total = part * sum(asked)
    level = fair_level(asked, total)
    met = sum(min(each, level) for each in asked)
    assert met == pytest.approx(min(total, sum(asked)), abs=1e-6)


class Twin:
    """The same verdicts from the list of all events, by bisection, without any bound."""

    def __init__(self):
        self.events = []
        self.period_s, self.period_end_s = 0.0, -inf
        self.greedy = frozenset()

    def count(self, client, now_s, *, admitted):
        if now_s >= self.period_end_s:
            self.period_s, self.period_end_s = now_s, now_s + PERIOD_S
            self.greedy = self._verdict(now_s)
        self.events.append((client, self.period_s, admitted))

    def _verdict(self, now_s):
        asked, had = {}, {}
        for client, at_s, admitted in self.events:
            left = exp((at_s - now_s) / MEMORY_S)
            asked[client] = asked.get(client, 0.0) + left
            had[client] = had.get(client, 0.0) + (left if admitted else 0.0)
        total = sum(had.values())
        if sum(asked.values()) <= total:
            return frozenset()
        low, high = 0.0, max(asked.values())
        for _ in range(100):
            level = (low + high) / 2
            too_low = sum(min(each, level) for each in asked.values()) < total
            low, high = (level, high) if too_low else (low, level)
        more = low + DEVIATIONS * sqrt(low)
        greedy = {one for one in asked if asked[one] > more and had[one] >= NEARLY * low}
        return frozenset() if len(greedy) == len(asked) else frozenset(greedy)


def play(fairness, seconds, rates, serves, seed=1, begin_s=0.0):
    """Offer ``rates`` per second by client; ``serves(client, greedy)`` tells who gets in."""
    draw, now_s = Random(seed), begin_s
    clients, weights = list(rates), list(rates.values())
    while now_s < begin_s + seconds:
        now_s += draw.expovariate(sum(weights))
        client = draw.choices(clients, weights)[0]
        fairness.count(client, now_s, admitted=serves(client, fairness.greedy))
    return now_s


@given(st.integers(0, 1000), st.lists(st.sampled_from([5, 20, 80, 400]), min_size=1, max_size=6))
def test_the_verdicts_are_the_twins(seed, rates):
    fairness, twin, draw = Fairness(), Twin(), Random(seed)
    by_client = {f"c{number}": rate for number, rate in enumerate(rates)}
    chance = Random(seed)

    class Both:
        greedy = frozenset()

        def count(self, client, now_s, *, admitted):
            fairness.count(client, now_s, admitted=admitted)
            twin.count(client, now_s, admitted=admitted)
            assert fairness.greedy == twin.greedy
            self.greedy = fairness.greedy

    def serves(client, greedy):
        return chance.random() < (0.1 if client in greedy else 0.4)

    play(Both(), 0.3 + draw.random(), by_client, serves, seed)


OTHERS = {f"other-{number}": 10.0 for number in range(20)}


def test_a_flooding_client_is_greedy_and_stays_so_while_it_is_held_back():
    fairness, chance = Fairness(), Random(2)
    rates = {"flood": 2000.0, **OTHERS}
    play(fairness, 0.2, rates, lambda *_: chance.random() < 0.2)
    assert fairness.greedy == {"flood"}
    seen = set()

    def serves(client, greedy):
        seen.add(greedy)
        return client not in greedy or chance.random() < 0.1

    now_s = play(fairness, 3.0, rates, serves, begin_s=0.2)
    assert seen == {frozenset({"flood"})}
    # Long after the flood it is a client like any other.
    play(fairness, 0.2, OTHERS, lambda *_: True, begin_s=now_s + 20.0)
    assert fairness.greedy == frozenset()


def test_nobody_is_greedy_while_all_are_served():
    fairness = Fairness()
    play(fairness, 2.0, {"flood": 2000.0, **OTHERS}, lambda *_: True)
    assert fairness.greedy == frozenset()


def test_a_client_alone_is_not_greedy():
    fairness, chance, seen = Fairness(), Random(3), set()

    def serves(_client, greedy):
        seen.add(greedy)
        return chance.random() < 0.2

    play(fairness, 1.0, {"only": 2000.0}, serves)
    assert seen == {frozenset()}


def test_who_asks_for_more_than_its_share_but_has_less_is_not_held_back():
    fairness, chance = Fairness(), Random(4)
    rates = {"flood": 2000.0, "some": 300.0}
    play(fairness, 1.0, rates, lambda client, _: chance.random() < 0.2 and client == "flood")
    assert fairness.greedy == {"flood"}


def test_memory_is_bounded_and_a_flood_behind_made_up_names_is_found():
    fairness, chance = Fairness(), Random(5)
    names = Random(6)
    now_s = 0.0
    for number in range(20_000):
        now_s += 0.0005
        client = "flood" if number % 4 == 0 else f"made-up-{names.random()}"
        fairness.count(client, now_s, admitted=chance.random() < 0.2)
        assert len(fairness) <= CLIENTS_MAX
    assert fairness.greedy == {"flood"}


def test_what_has_faded_is_forgotten_and_nobody_is_counted_without_a_name():
    fairness = Fairness()
    fairness.count("one", 0.0, admitted=True)
    fairness.count("", 0.0, admitted=True)
    assert len(fairness) == 1
    fairness.count("two", MEMORY_S, admitted=True)
    assert len(fairness) == 2
    fairness.count("two", 4 * MEMORY_S, admitted=True)
    assert exp(-4) < FADED
    assert len(fairness) == 1


def full(clients, now_s=0.0):
    fairness = Fairness()
    for number in range(clients):
        fairness.count(f"client-{number}", now_s, admitted=True)
    return fairness


def test_no_more_are_counted_than_fit():
    assert len(full(CLIENTS_MAX + 5)) == CLIENTS_MAX


def test_half_of_them_are_kept_over_the_end_of_a_period():
    fairness = full(CLIENTS_MAX)
    fairness.count("client-0", PERIOD_S, admitted=True)
    assert len(fairness) in {CLIENTS_MAX // 2, CLIENTS_MAX // 2 + 1}
    few = full(CLIENTS_MAX // 2)
    few.count("client-0", PERIOD_S, admitted=True)
    assert len(few) == CLIENTS_MAX // 2


def test_a_verdict_is_made_with_the_first_request_of_a_period():
    fairness = Fairness()
    for number in range(200):
        fairness.count("flood", 0.0, admitted=number < 20)
    for client in ("one", "other"):
        fairness.count(client, 0.0, admitted=True)
    fairness.count("one", PERIOD_S - 0.001, admitted=True)
    assert fairness.greedy == frozenset()
    fairness.count("one", PERIOD_S, admitted=True)
    assert fairness.greedy == {"flood"}
