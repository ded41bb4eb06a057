"""The rings of refusals."""

from __future__ import annotations

import os
import signal
from math import inf

import pytest
from board_help import ended, forked
from hypothesis import given
from hypothesis import strategies as st

from guard.board import Board, Refusal
from guard.board.refusals import SLOTS, Rings
from guard.core.vocabulary import Lane, Reason

counts = st.integers(0, 2**32 - 1)
times = st.floats(0.0, 1e9) | st.just(inf)
refusals = st.builds(
    Refusal, pid=counts, at_s=st.floats(0.0, 1e9), lane=st.sampled_from(Lane),
    reason=st.sampled_from(Reason), standing_queue=st.booleans(), in_flight=counts,
    unfinished=counts, slots=counts, permits_max=counts, waiters_max=counts, stands_for=counts,
    hold_s=times, wait_s=times, age_s=times, budget_s=times,
)  # fmt: skip


def at(number: int, pid: int = 1) -> Refusal:
    return Refusal(pid, float(number), Lane.READ, Reason.DEADLINE)


@given(refusals)
def test_what_is_kept_comes_back(refusal: Refusal) -> None:
    rings = Rings(1)
    rings.ring(0).append(refusal)
    assert rings.latest(10) == [refusal]


def test_the_newest_first_over_all_rings_and_no_more_than_asked() -> None:
    rings = Rings(3)
    for number in range(6):
        rings.ring(number % 3).append(at(number))
    assert [one.at_s for one in rings.latest(4)] == [5.0, 4.0, 3.0, 2.0]


def test_the_oldest_go_where_there_is_no_room() -> None:
    rings = Rings(1)
    ring = rings.ring(0)
    for number in range(3 * SLOTS + 5):
        ring.append(at(number))
    kept = [one.at_s for one in rings.latest(10 * SLOTS)]
    assert kept == [float(number) for number in range(3 * SLOTS + 4, 2 * SLOTS + 4, -1)]


def test_numbers_that_do_not_fit_are_cut() -> None:
    rings = Rings(1)
    rings.ring(0).append(at(1)._replace(unfinished=2**40, slots=-1))
    assert rings.latest(1)[0][6:8] == (2**32 - 1, 0)


@pytest.mark.parametrize("place", [64, 70, 100, 130])
def test_a_slot_that_is_half_written_is_not_seen(place: int) -> None:
    rings = Rings(1)
    rings.ring(0).append(at(1))
    rings._memory[place] ^= 0xFF
    assert rings.latest(10) == []


def test_a_killed_worker_leaves_its_refusals_and_the_next_one_goes_on() -> None:
    board = Board.anonymous(2)

    def work(first: int) -> None:
        row = board.claim(0, os.getpid())
        assert row.refusals is not None
        for number in range(first, first + 3):
            row.refusals.append(at(number, os.getpid()))
        if first == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(lambda: work(0))) == -signal.SIGKILL
    board.retire(0)
    assert ended(forked(lambda: work(3))) == 0
    assert [one.at_s for one in board.refusals()] == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert len({one.pid for one in board.refusals()}) == 2


def test_a_child_of_a_worker_writes_nothing() -> None:
    board = Board.anonymous(1)
    ring = board.claim(0, os.getpid()).refusals
    assert ring is not None
    assert ended(forked(lambda: ring.append(at(1)))) == 0
    assert board.refusals() == []
