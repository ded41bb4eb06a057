"""Several workers' books over one ring, in any order of events: no promise is lost or absurd."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from guard import metrics
from guard.book import AppointmentBook
from guard.core import appointments
from guard.core.promise_ring import QUARTERS, PromiseRing, words_for
from guard.core.vocabulary import Lane
from guard.events import Decided
from guard.testing import FakeClock, MemoryRecorder

WORKERS = 3
HIGH_S = 60
READ = Lane.READ
BOUND_PER_S = 40.0


class Host:
    """What the workers share, but for the rings in plain fields; one worker's side of it."""

    def __init__(self, machine: Books, writer: int) -> None:
        self.machine = machine
        self.writer = writer

    def look(self) -> tuple[dict[Lane, Decided], int]:
        return dict.fromkeys(Lane, self.machine.decided), WORKERS

    def ring(self, lane: Lane) -> PromiseRing:
        return PromiseRing(self.machine.words[lane], WORKERS, self.writer)

    def best_per_s(self, lane: Lane) -> float:
        return max(self.machine.best[lane])

    def tell_best(self, lane: Lane, best_per_s: float) -> None:
        self.machine.best[lane][self.writer] = best_per_s


class Books(RuleBasedStateMachine):
    """Random refusals, seconds and deaths; a list of all promises is the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(1000.0)
        self.words = {lane: [0] * words_for(WORKERS) for lane in Lane}
        self.best = {lane: [0.0] * WORKERS for lane in Lane}
        self.decided = Decided(0.0, 0.0, 0.0)
        self.told: Counter[tuple[int, int]] = Counter()
        self.recorders = [MemoryRecorder() for _ in range(WORKERS)]
        self.books = [self.book(number) for number in range(WORKERS)]

    def book(self, number: int) -> AppointmentBook:
        draw = Random(number).random
        return AppointmentBook(
            Host(self, number), self.clock, draw, self.recorders[number], 1, HIGH_S
        )

    def promised(self, second: int) -> int:
        return sum(self.told[second, quarter] for quarter in range(QUARTERS))

    @rule(
        worker=st.integers(0, WORKERS - 1),
        times=st.integers(1, 30),
        not_before_s=st.sampled_from([0.0, 0.3, 7.5, 500.0]),
        outage=st.booleans(),
    )
    def refuse(self, worker: int, times: int, not_before_s: float, *, outage: bool) -> None:
        now_s = self.clock.now_s()
        now, quarter = int(now_s), int(now_s % 1 * QUARTERS)
        first_s, last_s = appointments.window(not_before_s, 1, HIGH_S, outage=outage)
        spare = self.books[worker]._pages[READ]._spare
        for _ in range(times):
            answer = self.books[worker].appoint(READ, not_before_s, outage=outage)
            assert first_s <= answer <= last_s
            free = [
                second
                for second in range(now + first_s, now + last_s + 1)
                if appointments.has_room(self.promised(second), self.told[second, quarter], spare)
            ]
            # The first second with room; where there is none, any.
            assert not free or now + answer == free[0]
            self.told[now + answer, quarter] += 1

    @rule(
        seconds=st.sampled_from([0.25, 0.5, 1.0, 1.0, 3.0]),
        served=st.integers(0, 60),
        refused=st.integers(0, 60),
    )
    def pass_time(self, seconds: float, served: int, refused: int) -> None:
        arrived, admitted, crowded = self.decided
        self.decided = Decided(arrived + served + refused, admitted + served, crowded + refused)
        self.clock.advance(seconds)
        for book in self.books:
            book.look(dict.fromkeys(Lane, BOUND_PER_S))

    @rule(worker=st.integers(0, WORKERS - 1))
    def die(self, worker: int) -> None:
        # What he promised stays; his successor counts on.
        self.books[worker] = self.book(worker)

    @invariant()
    def each_promise_stands_in_the_ring_once(self) -> None:
        now = int(self.clock.now_s())
        ring = PromiseRing(self.words[READ], WORKERS, 0)
        for second in range(now, now + HIGH_S + 1):
            assert ring.promised(second) == self.promised(second)

    @invariant()
    def no_more_is_kept_than_was_promised(self) -> None:
        name = (READ.value,)
        due = sum(each.value(metrics.RETRY_PROMISES_DUE, name) for each in self.recorders)
        kept = sum(each.value(metrics.RETRY_PROMISES_KEPT, name) for each in self.recorders)
        assert 0.0 <= kept <= due + 1e-6
        assert due <= sum(self.told.values())

    @invariant()
    def spare_is_within_what_the_slots_or_the_past_can_do(self) -> None:
        for book in self.books:
            page = book._pages[READ]
            most = max(BOUND_PER_S * WORKERS, appointments.HEADROOM * page.pace.best_per_s)
            assert 0 <= page._spare <= appointments.SHARE * most


Books.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestBooks = Books.TestCase
