"""Foreign bytes in the shared memory: readers go on, and the next writer heals what he uses."""

from __future__ import annotations

import logging
import os
from math import inf, isfinite, nan
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard import metrics
from guard.board import Board
from guard.board.layout import STATIC, STATIC_CELLS, Layout, Shape
from guard.board.notes import NOTE_BYTES, Note
from guard.board.refusals import Refusal, Rings
from guard.book import AppointmentBook
from guard.breaker import LaneBreaker
from guard.breaker.locks import Locks
from guard.breaker.memory import BreakerMemory, Overwritten, size_bytes
from guard.breaker.store import BreakerStore
from guard.core.breaker_types import BreakerRules, BreakerState
from guard.core.promise_ring import PromiseRing, words_for
from guard.core.vocabulary import BreakerPhase, Lane, Outcome, Reason
from guard.events import Decided
from guard.export.prometheus import render
from guard.status.frames import frame
from guard.testing import FakeClock, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 2
SMALL = Shape(len(STATIC) + 30, STATIC_CELLS + 200)
LAYOUT = Layout(ROWS, SMALL, SMALL)
RULES = BreakerRules(min_calls=1, open_s=1.0)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Host:
    """A small board with one worker, and every byte of it at hand."""

    def __init__(self) -> None:
        self.bytes = bytearray(LAYOUT.size_bytes)
        self.clock = FakeClock()
        self.board = Board(memoryview(self.bytes), LAYOUT, shared=False, clock=self.clock)
        # Nobody waits for real.
        self.board._pause.set()
        self.row = self.board.claim(0, os.getpid())
        self.breakers = self.breakers_of(self.row)
        self.book = self.book_of(self.row)
        self.row.add(metrics.HTTP_RESPONSES, ("GET", "/x", "200"))

    def breakers_of(self, row: object) -> dict[Lane, LaneBreaker]:
        stores = row.breakers.stores  # type: ignore[attr-defined]
        return {
            lane: LaneBreaker(lane, RULES, self.clock, lambda: 0.0, MemoryRecorder(), store=store)
            for lane, store in stores.items()
        }

    def book_of(self, row: object) -> AppointmentBook:
        return AppointmentBook(
            row.siblings, self.clock, lambda: 0.5, MemoryRecorder(), 1, 60  # type: ignore[attr-defined]
        )  # fmt: skip

    def read_all(self) -> None:
        samples = self.board.collect()
        frame(0.0, samples)
        render(self.board, "")
        self.board.value(metrics.INFLIGHT, ("read",))
        for view in self.board.workers():
            assert isinstance(view.ready, bool)
        self.board.rows_in_use()
        self.board.refusals()
        self.board.notes()
        self.board.free_index()

    def use_all(self) -> None:
        for lane, breaker in self.breakers.items():
            breaker.admits()
            breaker.record(Outcome.OK, breaker.generation)
            breaker.record(Outcome.FAILURE, breaker.generation)
            breaker.look()
            assert 1 <= self.book.appoint(lane, 0.0, outage=False) <= 60
        self.clock.advance(1.0)
        self.book.look(dict.fromkeys(Lane, 100.0))
        for lane in Lane:
            assert 1 <= self.book.appoint(lane, 2.5, outage=True) <= 60
        self.row.add(metrics.HTTP_RESPONSES, ("GET", "/y", "200"))
        self.row.set(metrics.INFLIGHT, ("read",), 1.0)
        self.row.observe(metrics.BATCH_SIZE, (), 3.0)
        self.row.heartbeat(1.0)


PLACES = {
    "head": (0, 64),
    "retired": (LAYOUT.retired_at, LAYOUT.row_at(0)),
    "rows": (LAYOUT.row_at(0), LAYOUT.promises_at),
    "promises": (LAYOUT.promises_at, LAYOUT.breakers_at),
    "breakers": (LAYOUT.breakers_at, LAYOUT.size_bytes),
    "everything": (0, LAYOUT.size_bytes),
}


def overwrite(host: Host, place: str, seed: int, share: float) -> None:
    begin, end = PLACES[place]
    rng = Random(seed)
    form = rng.randrange(3)
    size = max(1, int(share * (end - begin)))
    at = rng.randrange(begin, end - size + 1)
    garbage = rng.randbytes(size) if form == 0 else bytes((0xFF if form == 1 else 0x7F,)) * size
    host.bytes[at : at + size] = garbage


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(PLACES)), st.integers(0, 10**6), st.sampled_from([1e-6, 0.01, 0.3, 1.0])
)
def test_foreign_bytes_stop_nobody(place: str, seed: int, share: float) -> None:
    host = Host()
    host.use_all()
    overwrite(host, place, seed, share)
    for _ in range(2):
        host.read_all()
        host.use_all()
    host.board.retire(0)
    host.board.retire(1)
    # Whoever takes a row next has a sound one, and sound breakers.
    index = host.board.free_index()
    assert index is not None
    row = host.board.claim(index, os.getpid())
    row.set(metrics.INFLIGHT, ("read",), 3.0)
    assert [one.pid for one in host.board.workers()] == [os.getpid()]
    if place in {"head", "rows", "promises", "breakers"}:
        assert host.board.value(metrics.INFLIGHT, ("read",)) == 3.0
        assert all(isfinite(one.value) for one in host.board.collect())
    for breaker in host.breakers_of(row).values():
        breaker.move(BreakerPhase.OPEN)
        assert not breaker.admits()
        breaker.move(BreakerPhase.CLOSED)
        assert breaker.admits()


def record_at(memory: BreakerMemory) -> int:
    return 64 + memory.commits[0] % 2 * 128


@pytest.mark.parametrize("garbage", [b"\xff" * 16, b"\x00" * 128, bytes(range(16))])
def test_a_breaker_goes_on_with_the_state_that_was_seen_last(garbage: bytes) -> None:
    raw = bytearray(size_bytes(1))
    store = BreakerStore(BreakerMemory(memoryview(raw), 1), Locks(), 0, 0)
    breaker = LaneBreaker(
        Lane.READ, RULES, FakeClock(), lambda: 0.0, MemoryRecorder(), store=store
    )  # fmt: skip
    breaker.move(BreakerPhase.OPEN)
    opened = breaker.state
    at = record_at(store.memory)
    raw[at : at + len(garbage)] = garbage
    with pytest.raises(Overwritten):
        store.memory.read()
    assert store.read()[1] == opened
    assert store.memory.read()[1] == opened
    # The number of the last change alone is foreign.
    raw[:8] = b"\xff" * 8
    assert not breaker.admits()
    assert breaker.state == opened
    breaker.move(BreakerPhase.CLOSED)
    assert breaker.admits()
    assert store.memory.read()[1] == breaker.state


def test_while_another_one_mends_it_the_last_state_is_shown() -> None:
    raw = bytearray(size_bytes(1))
    locks = Locks()
    store = BreakerStore(BreakerMemory(memoryview(raw), 1), locks, 0, 0)
    raw[:8] = b"\xff" * 8
    assert locks.take(0)
    assert store.read() == (2**64 - 1, BreakerState())
    locks.free(0)
    assert store.read() == (store.memory.commits[0], BreakerState())
    assert store.memory.read()[1] == BreakerState()


def test_a_mode_that_is_none_is_shown_by_nobody() -> None:
    host = Host()
    at = LAYOUT.breakers_at + 64 + 8
    host.bytes[at : at + 8] = b"\xff" * 8
    assert host.board.collect()


@pytest.mark.parametrize("rate", [nan, inf, -1.0, 1e150])
def test_what_no_host_can_do_is_no_rate(rate: float) -> None:
    host = Host()
    host.row.siblings.tell_best(Lane.READ, 50.0)
    assert host.row.siblings.best_per_s(Lane.READ) == 50.0
    host.row.siblings.tell_best(Lane.READ, rate)
    assert host.row.siblings.best_per_s(Lane.READ) == 0.0


@pytest.mark.parametrize("foreign", [nan, inf, -inf, 1e150])
def test_a_second_with_foreign_counts_says_nothing_to_the_book(foreign: float) -> None:
    counts = [Decided(0.0, 0.0, 0.0)]

    class Foreign:
        def look(self) -> tuple[dict[Lane, Decided], int]:
            return dict.fromkeys(Lane, counts[-1]), 1

        def ring(self, lane: Lane) -> PromiseRing:
            return rings[lane]

        def best_per_s(self, _lane: Lane) -> float:
            return 0.0

        def tell_best(self, lane: Lane, best_per_s: float) -> None:
            told.append((lane, best_per_s))

    rings = {lane: PromiseRing([0] * words_for(1), 1, 0) for lane in Lane}
    told: list[tuple[Lane, float]] = []
    clock = FakeClock()
    book = AppointmentBook(Foreign(), clock, lambda: 0.5, MemoryRecorder(), 1, 60)
    for count in (10.0, foreign, 20.0, 30.0):
        counts.append(Decided(count, count, 0.0))
        clock.advance(1.0)
        book.look(dict.fromkeys(Lane, 100.0))
        assert 1 <= book.appoint(Lane.READ, 0.0, outage=False) <= 60
    assert told
    assert all(0.0 <= rate <= 20.0 for _, rate in told)


@given(st.integers(0, 10**6), st.sampled_from([4, 100, NOTE_BYTES]))
def test_a_foreign_note_is_none_until_the_next(seed: int, size: int) -> None:
    raw = bytearray(NOTE_BYTES)
    note = Note(memoryview(raw))
    assert note.put("locks", [1])
    raw[:size] = Random(seed).randbytes(size)
    assert note.read() in ({}, {"locks": [1]})
    assert note.put("locks", [2])
    assert note.read() == {"locks": [2]}


@given(st.integers(0, 10**6), st.sampled_from([8, 64, 300, 10_304]))
def test_foreign_refusals_are_none(seed: int, size: int) -> None:
    rings = Rings(1)
    ring = rings.ring(0)
    refusal = Refusal(os.getpid(), 5.0, Lane.READ, Reason.DEADLINE)
    ring.append(refusal)
    rings._memory[:size] = Random(seed).randbytes(size)
    assert rings.latest(200) in ([], [refusal])
    ring.append(refusal._replace(at_s=6.0))
    assert rings.latest(1) == [refusal._replace(at_s=6.0)]


def test_a_count_of_refusals_at_its_end_begins_anew() -> None:
    rings = Rings(1)
    rings._memory[:8] = b"\xff" * 8
    ring = rings.ring(0)
    refusal = Refusal(os.getpid(), 5.0, Lane.READ, Reason.DEADLINE)
    for at_s in (5.0, 6.0, 7.0):
        ring.append(refusal._replace(at_s=at_s))
    assert rings.latest(1)[0].at_s == 7.0
