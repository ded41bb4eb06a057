from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.core.pooler import PoolerQueue, allowed, joined

TARGET_S = 0.1
COUNTS = st.integers(0, 500)
QUEUES = st.builds(PoolerQueue, COUNTS, st.floats(0.0, 100.0), COUNTS, COUNTS)


def test_without_a_slow_queue_it_grows_by_one_up_to_all() -> None:
    short = PoolerQueue(waiting=3, oldest_s=TARGET_S, active=2)
    assert allowed(8, 8, 8, PoolerQueue(), TARGET_S) == 8
    assert allowed(2, 8, 2, PoolerQueue(), TARGET_S) == 3
    assert allowed(2, 8, 2, short, TARGET_S) == 3, "a short wait harms nobody"


def test_a_slow_queue_leaves_the_lanes_part_of_what_is_served() -> None:
    slow = PoolerQueue(waiting=24, oldest_s=0.2, active=7, idle=1)
    assert allowed(32, 32, 32, slow, TARGET_S) == 8
    assert allowed(8, 8, 4, slow, TARGET_S) == 1, "of four that are lent one is served"
    assert allowed(1, 8, 0, slow, TARGET_S) == 1, "one must get through to find out"


@given(st.integers(1, 500), st.integers(1, 500), COUNTS, QUEUES)
def test_it_never_leaves_its_bounds(
    before: int, size: int, in_use: int, queue: PoolerQueue
) -> None:
    before = min(before, size)
    found = allowed(before, size, in_use, queue, TARGET_S)
    assert 1 <= found <= size
    assert found <= before + 1


@given(st.integers(2, 64), st.integers(1, 64), st.integers(1, 8))
def test_lanes_that_are_all_busy_settle_at_what_the_pooler_serves(
    size: int, servers: int, lanes: int
) -> None:
    limits = [size] * lanes
    for _ in range(200):
        lent = sum(limits)
        waiting = max(0, lent - servers)
        oldest_s = 1.0 if waiting else 0.0
        queue = PoolerQueue(waiting, oldest_s, min(lent, servers), max(0, servers - lent))
        limits = [allowed(each, size, each, queue, TARGET_S) for each in limits]
    # One more each when all are served, and back at the next look.
    assert sum(limits) <= max(servers, lanes) + lanes
    assert sum(limits) >= min(servers // 2, size * lanes // 2)


def test_pools_together_are_one_queue() -> None:
    assert joined([]) == PoolerQueue()
    assert joined([PoolerQueue(1, 0.5, 2, 3), PoolerQueue(4, 0.25, 1, 0)]) == (5, 0.5, 3, 3)


def test_no_more_than_the_lane_has_is_busy_and_no_part_of_a_connection_is_allowed() -> None:
    slow = PoolerQueue(waiting=24, oldest_s=0.2, active=8)
    assert allowed(20, 8, 20, slow, TARGET_S) == 2
    found = allowed(8, 8, 8, slow._replace(active=7), TARGET_S)
    assert (found, type(found)) == (1, int)
