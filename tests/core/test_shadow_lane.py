from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.shadow import UNFINISHED_MAX, ShadowLane


def entered(*arrivals, slots=2, hold_s=1.0, target_s=0.5):
    lane = ShadowLane()
    for arrived_s in arrivals:
        lane.enter(arrived_s, slots, hold_s, target_s)
    return lane


@pytest.mark.parametrize(
    ("arrivals", "at_s", "unfinished"),
    [
        ([], 0.0, 0),
        ([0.0], 0.5, 1),
        ([0.0], 1.0, 0),
        ([0.0, 0.0], 0.9, 2),
        # The third waits for the first to end.
        ([0.0, 0.5, 0.6], 1.2, 2),
        ([0.0, 0.5, 0.6], 1.5, 1),
        ([0.0, 0.5, 0.6], 1.9, 1),
        ([0.0, 0.5, 0.6], 2.0, 0),
        # One that is told late comes when it is told.
        ([5.0, 1.0], 5.9, 2),
        ([5.0], 1.0, 1),
    ],
)
def test_what_is_unfinished(arrivals, at_s, unfinished):
    assert entered(*arrivals).unfinished(at_s) == unfinished


def test_a_queue_that_never_drains_stands():
    lane = ShadowLane()
    seen = set()
    for number in range(200):
        lane.enter(number * 0.01, 1, 0.02, 0.05)
        seen.add(lane.standing())
    assert seen == {False, True}
    lane.unfinished(100.0)
    assert not lane.standing()


def test_a_queue_that_is_no_queue_never_stands():
    lane = ShadowLane()
    for number in range(200):
        lane.enter(1000.0 + number * 0.01, 1, 0.005, 0.05)
        assert not lane.standing()


def test_its_memory_is_bounded():
    lane = entered(*[0.0] * (UNFINISHED_MAX + 5), slots=1)
    assert lane.unfinished(0.0) == UNFINISHED_MAX


class Twin:
    """The same lane, one server after the other, from all that has ever entered."""

    def __init__(self):
        self.ends_s = []
        self.free_s = {}

    def enter(self, at_s, slots, hold_s):
        for server in range(slots):
            self.free_s.setdefault(server, 0.0)
        server = min(self.free_s, key=self.free_s.__getitem__)
        end_s = max(at_s, self.free_s[server]) + hold_s
        self.free_s[server] = end_s
        self.ends_s.append(end_s)

    def unfinished(self, at_s):
        return sum(end_s > at_s for end_s in self.ends_s)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=60),
)
def test_the_model_is_its_twin(slots, steps):
    lane, twin, now = ShadowLane(), Twin(), 0
    for gap, hold in steps:
        now += gap
        # Eighths are exact, so that what ends at the moment of an arrival does so in both.
        assert lane.unfinished(now / 8) == twin.unfinished(now / 8)
        lane.enter(now / 8, slots, hold / 8, 1.0)
        twin.enter(now / 8, slots, hold / 8)


@pytest.mark.parametrize("load", [0.5, 1.0, 2.0, 5.0])
def test_a_bounded_lane_sheds_what_theory_says(load):
    """With N places and a deterministic service, at least 1 - 1/load is shed, and little more."""
    draw, lane, now_s, shed = Random(1), ShadowLane(), 0.0, 0
    requests = 20_000
    for _ in range(requests):
        now_s += draw.expovariate(load * 400.0)
        if lane.unfinished(now_s) >= 24:
            shed += 1
        else:
            lane.enter(now_s, 8, 0.02, 0.02)
    least = max(0.0, 1.0 - 1.0 / load)
    assert least - 0.01 <= shed / requests <= least + 0.03
