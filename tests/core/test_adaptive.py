"""The search for a limit: what it must never do, and what it finds in databases of one formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core import adaptive
from guard.core.adaptive import FACTORS, PAUSE_S, Adaptive, allowed, look

if TYPE_CHECKING:
    from collections.abc import Callable

    Rates = Callable[[int], float]

LOOK_S = 0.2


class Lane:
    """A lane whose every allowed connection is in use, without any noise."""

    def __init__(self, slots: int, per_s: Rates, demand_per_s: float = 1e9) -> None:
        self.slots = slots
        self.per_s = per_s
        self.demand_per_s = demand_per_s
        self.state = Adaptive()
        self.now_s = 100.0
        self.uses = self.used_s = 0.0
        self.seen: list[int] = []

    def run(self, seconds: float) -> Lane:
        self.seen = []
        for _ in range(round(seconds / LOOK_S)):
            now = allowed(self.state, self.slots)
            self.seen.append(now)
            most = self.per_s(now)
            done = min(most, self.demand_per_s)
            self.uses += done * LOOK_S
            self.used_s += now * done / most * LOOK_S
            self.now_s += LOOK_S
            self.state = look(self.state, self.slots, int(self.uses), self.used_s, self.now_s)
        return self

    @property
    def limit(self) -> int:
        return min(self.state.limit, self.slots)


def thrashing(best: int) -> Rates:
    return lambda used: 1000.0 * min(used, best) / (1 + 0.3 * max(0, used - best))


@pytest.mark.parametrize(("slots", "best"), [(32, 4), (40, 2), (8, 2), (16, 1), (64, 12)])
def test_it_comes_near_the_best_limit(slots: int, best: int) -> None:
    lane = Lane(slots, thrashing(best)).run(180)
    assert lane.per_s(lane.limit) >= 0.75 * lane.per_s(best)
    assert lane.limit < slots


def test_it_stays_at_the_pool_where_more_serve_more() -> None:
    lane = Lane(8, lambda used: 50.0 * used).run(180)
    assert lane.limit == 8
    assert lane.seen.count(8) > 0.9 * len(lane.seen)


def test_it_stays_where_nothing_is_gained() -> None:
    assert Lane(16, lambda used: 800.0 + 0.0 * used).run(180).limit == 16


def test_it_stays_where_demand_decides() -> None:
    lane = Lane(32, thrashing(4), demand_per_s=20.0).run(120)
    assert set(lane.seen) == {32}


def test_it_comes_back_when_more_serve_more_again() -> None:
    lane = Lane(16, thrashing(2)).run(120)
    assert lane.limit < 8
    lane.per_s = lambda used: 700.0 * used
    assert lane.run(240).limit == 16


def test_a_limit_that_is_not_needed_is_forgotten() -> None:
    lane = Lane(16, thrashing(2)).run(120)
    lane.demand_per_s = 10.0
    assert lane.run(2 * adaptive.FORGET_S + adaptive.WINDOW_MAX_S).limit == 16


def test_a_trial_that_has_lost_is_short() -> None:
    lane = Lane(8, lambda used: 500.0 * used).run(60)
    shorter = [count for count in lane.seen if count < 8]
    assert shorter
    assert len(shorter) < 0.1 * len(lane.seen)


LOOKS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 5000), st.floats(0, 100), st.floats(0.01, 15)),
    max_size=80,
)


@given(LOOKS)
def test_the_limit_is_within_the_pool_whatever_is_seen(
    looks: list[tuple[int, int, float, float]],
) -> None:
    state, now_s, uses, used_s = Adaptive(), 0.0, 0, 0.0
    for slots, done, held_s, later_s in looks:
        now_s, uses, used_s = now_s + later_s, uses + done, used_s + held_s
        state = look(state, slots, uses, used_s, now_s)
        assert min(1, slots) <= allowed(state, slots) <= slots
        assert 0 <= state.factor < len(FACTORS)
        assert state.limit >= 1
        assert state.pause_s <= adaptive.PAUSE_MAX_S


def test_counts_that_begin_anew_are_no_measurement() -> None:
    lane = Lane(8, lambda used: 500.0 * used).run(10)
    before = lane.state
    lane.uses = lane.used_s = 0.0
    after = look(before, 8, 0, 0.0, lane.now_s + 0.1)
    assert (after.began_uses, after.rates) == (0, before.rates)


def test_a_change_of_throughput_ends_a_pause() -> None:
    lane = Lane(16, lambda used: 800.0 + 0.0 * used).run(180)
    while not lane.state.paused_per_s or lane.state.paused_until_s < lane.now_s + 15:
        lane.run(LOOK_S)
    assert lane.state.pause_s > PAUSE_S
    lane.per_s = lambda used: 300.0 + 0.0 * used
    lane.run(12)
    assert lane.state.pause_s <= 2 * PAUSE_S
