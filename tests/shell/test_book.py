import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import metrics
from guard.board import Board
from guard.book import AppointmentBook, _Page
from guard.core.appointments import has_room, spread
from guard.core.promise_ring import QUARTERS, PromiseRing, words_for
from guard.core.vocabulary import Lane
from guard.events import Decided
from guard.testing import FakeClock

NOTHING = Decided(0.0, 0.0, 0.0)
READ = (Lane.READ.value,)


class World:
    """A host with some workers and a book for each."""

    def __init__(self, workers=2, high_s=60):
        self.clock = FakeClock(1000.0)
        self.board = Board.anonymous(workers, clock=self.clock)
        self.rows = [self.board.claim(number, number + 1) for number in range(workers)]
        self.high_s = high_s
        self.books = [self.book(row) for row in self.rows]

    def book(self, row):
        draw = random.Random(1).random
        return AppointmentBook(row.siblings, self.clock, draw, row, 1, self.high_s)

    def second(self, admitted=0, refused=0, reason="pool_saturated", bound=100.0):
        """Let one second pass in which these were decided, half by each worker."""
        for row in self.rows:
            share = 1 / len(self.rows)
            row.add(metrics.DECISIONS_TOTAL, ("admitted", "ok", "read"), admitted * share)
            row.add(metrics.DECISIONS_TOTAL, ("shed", reason, "read"), refused * share)
        self.clock.advance(1.0)
        for book in self.books:
            book.look(dict.fromkeys(Lane, bound))

    def told(self, count, *, outage=False, worker=0):
        return [self.books[worker].appoint(Lane.READ, 0.0, outage=outage) for _ in range(count)]


def test_the_workers_fill_the_seconds_together():
    world = World()
    for _ in range(5):
        world.second(admitted=50)
    # Twice 50 is trusted, 0.8 of it planned, and 50 come anyway: 30 a second, 8 in a quarter.
    assert Counter(world.told(20)) == {1: 8, 2: 8, 3: 4}
    assert Counter(world.told(10, worker=1)) == {3: 4, 4: 6}
    world.clock.advance(0.25)
    assert Counter(world.told(15, worker=1)) == {1: 8, 2: 7}
    # The second's own limit is under four times the quarter's.
    world.clock.advance(0.25)
    assert Counter(world.told(8)) == {1: 8}
    world.clock.advance(0.25)
    assert Counter(world.told(8)) == {1: 6, 2: 2}


def test_an_outage_asks_for_patience():
    world = World()
    for _ in range(5):
        world.second(admitted=50)
    assert set(world.told(5, outage=True)) == {30}


def test_without_spare_capacity_the_clients_are_spread():
    world = World()
    for _ in range(20):
        world.second(admitted=50, refused=50)
    found = Counter(world.told(3000))
    assert set(found) == set(range(1, 31))
    assert max(found.values()) < 1.5 * 100


def test_the_seconds_of_a_worker_that_was_held_up_count_alike():
    world = World()
    world.second(admitted=50)
    for _ in range(4):
        world.rows[0].add(metrics.DECISIONS_TOTAL, ("admitted", "ok", "read"), 50)
        world.clock.advance(1.0)
    world.books[0].look(dict.fromkeys(Lane, 100.0))
    pace = world.books[0]._pages[Lane.READ].pace
    assert (pace.seconds, pace.served_per_s) == (5, pytest.approx(50.0))


def test_a_new_worker_knows_what_the_others_have_proved():
    world = World()
    for _ in range(5):
        world.second(admitted=50)
    world.board.retire(1)
    world.rows[1] = world.board.claim(1, 99)
    fresh = world.book(world.rows[1])
    assert fresh._pages[Lane.READ].pace.best_per_s == pytest.approx(50.0)
    assert fresh._pages[Lane.WRITE].pace.best_per_s == 0.0


def test_promises_due_and_kept_are_counted_once_by_whoever_made_them():
    world = World()
    for _ in range(5):
        world.second(admitted=50)
    assert world.told(4) == [1] * 4
    assert world.told(4, worker=1) == [1] * 4
    world.second(admitted=50)
    # The promised second: 30 of 60 are served, so half of the promises count as kept.
    world.second(admitted=30, refused=30)
    assert world.board.value(metrics.RETRY_PROMISES_DUE, READ) == 8.0
    assert world.board.value(metrics.RETRY_PROMISES_KEPT, READ) == 4.0
    for _ in range(70):
        world.second(admitted=50)
    assert world.board.value(metrics.RETRY_PROMISES_DUE, READ) == 8.0


def test_a_second_in_which_nobody_came_kept_and_broke_nothing():
    world = World()
    world.second(admitted=50)
    world.told(5)
    for _ in range(3):
        world.second()
    assert world.board.value(metrics.RETRY_PROMISES_DUE, READ) == 0.0


class Twin:
    """The page as it is meant: slow, plain, without a memory of what is full."""

    def __init__(self):
        self.spare = 0
        self.promises = Counter()

    def promise(self, first, last, quarter, draw):
        for second in range(first, last + 1):
            total = sum(self.promises[second, q] for q in range(QUARTERS))
            if has_room(total, self.promises[second, quarter], self.spare):
                break
        else:
            second = spread(draw, first, last)
        self.promises[second, quarter] += 1
        return second


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # seconds that pass
        st.integers(0, 12),  # spare from then on
        st.integers(1, 30),  # the window's first
        st.integers(0, 29),  # and how much longer it is
        st.integers(0, QUARTERS - 1),
        st.integers(1, 8),  # clients
    ),
    max_size=25,
)


@given(STEPS, st.randoms(use_true_random=False))
def test_the_page_does_what_its_slow_twin_does(steps, dice):
    ring = PromiseRing([0] * words_for(1), 1, 0)
    page, twin, now = _Page(ring, NOTHING, 0.0), Twin(), 1000
    for passed, spare, first, more, quarter, clients in steps:
        now += passed
        if passed:
            twin.spare = page._spare = spare
            page._full = [(0, 0)] * QUARTERS  # as each turn does
        for _ in range(clients):
            span = (now + first, now + first + more)
            draw = dice.random()
            free = any(
                has_room(*ring.counts(second, quarter), page._spare)
                for second in range(span[0], span[1] + 1)
            )
            found = page.promise(*span, quarter, draw)
            assert found == twin.promise(*span, quarter, draw)
            assert span[0] <= found <= span[1]
            assert not free or ring.promised(found) <= page._spare
    # What has passed may have been written over: the ring has room for 64 seconds.
    coming = {second: 0 for second, _ in twin.promises if second >= now}
    for (second, _), count in twin.promises.items():
        if second in coming:
            coming[second] += count
    assert coming == {second: ring.promised(second) for second in coming}


@given(st.integers(1, 40), st.integers(0, QUARTERS - 1), st.integers(1, 200))
def test_free_seconds_are_given_out_in_their_order_and_never_overfilled(spare, quarter, clients):
    ring = PromiseRing([0] * words_for(1), 1, 0)
    page = _Page(ring, NOTHING, 0.0)
    page._spare = spare
    room = -(-spare // QUARTERS) * 60
    found = [page.promise(1000, 1059, quarter, 0.0) for _ in range(min(clients, room))]
    assert found == sorted(found)
    assert max(Counter(found).values()) <= -(-spare // QUARTERS)
