from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.breaker.locks import Locks
from guard.breaker.memory import (
    BUCKETS,
    FAILURE,
    JOURNAL,
    OK,
    QUICK,
    SLOW,
    BreakerMemory,
    size_bytes,
)
from guard.breaker.store import BreakerStore
from guard.breaker.window import Window
from guard.core.breaker_types import BreakerState, Tally
from guard.core.vocabulary import BreakerPhase

WINDOW_S = 10.0
PHASES = st.sampled_from(BreakerPhase)
COUNTS, TIMES = st.integers(0, 2**63), st.floats(0, 2e9)
STATES = st.builds(
    BreakerState, PHASES, COUNTS, TIMES, TIMES, COUNTS, COUNTS, st.booleans(), TIMES, COUNTS, COUNTS
)
OPEN = BreakerState(BreakerPhase.OPEN, 2, 1.0, 2.0)


def memory(rows: int = 2) -> BreakerMemory:
    return BreakerMemory(memoryview(bytearray(size_bytes(rows))), rows)


def test_zeroed_memory_is_the_first_state() -> None:
    fresh = memory()
    assert fresh.read() == (0, BreakerState())
    assert fresh.mode is None
    assert fresh.change(1) is None
    fresh.mode = "metrics"
    assert fresh.mode == "metrics"


@settings(deadline=None)
@given(states=st.lists(STATES, max_size=5))
def test_what_was_written_last_is_read(states: list[BreakerState]) -> None:
    kept, before = memory(), BreakerState()
    for number, state in enumerate(states, 1):
        assert kept.write(before, state) == number
        before = state
    assert kept.read() == (len(states), before)


def test_a_writer_killed_before_the_last_store_has_changed_nothing() -> None:
    kept = memory()
    first = kept.write(BreakerState(), OPEN)
    kept.write(OPEN, BreakerState(BreakerPhase.HALF_OPEN, 3))
    kept.commits[0] = first  # as if killed before this store
    assert kept.read() == (first, OPEN)
    after = BreakerState(BreakerPhase.RECOVERING, 3)
    assert kept.write(OPEN, after) == first + 1
    assert kept.read() == (first + 1, after)
    assert kept.change(3) == (BreakerPhase.OPEN, BreakerPhase.RECOVERING)


@pytest.mark.parametrize("broken_at", [0, 8, 40, 88])
def test_a_record_that_is_not_whole_is_not_believed(broken_at: int) -> None:
    raw = bytearray(size_bytes(1))
    kept = BreakerMemory(memoryview(raw), 1)
    kept.write(BreakerState(), OPEN)
    raw[64 + 128 + broken_at] ^= 1
    with pytest.raises(RuntimeError, match="overwritten"):
        kept.read()


def test_the_journal_has_the_last_changes() -> None:
    kept, before = memory(), BreakerState()
    for generation in range(2, JOURNAL + 4):
        phase = BreakerPhase.OPEN if generation % 2 == 0 else BreakerPhase.CLOSED
        after = BreakerState(phase, generation)
        kept.write(before, after)
        before = after
    assert kept.change(3) is None
    assert kept.change(4) == (BreakerPhase.CLOSED, BreakerPhase.OPEN)
    assert kept.change(JOURNAL + 3) == (BreakerPhase.OPEN, BreakerPhase.CLOSED)
    assert kept.change(JOURNAL + 4) is None


def test_workers_counts_are_summed_and_kinds_kept_apart() -> None:
    kept = memory()
    one, other = Window(kept, 0), Window(kept, 1)
    for window, words in ((one, (OK, FAILURE, QUICK)), (other, (OK, SLOW, SLOW, SLOW))):
        for word in words:
            window.count(word, 1, 100.0, WINDOW_S)
    expected = Tally(ok=2, failures=1, quick=1, slow=3)
    assert one.tally(1, 100.0, WINDOW_S) == other.tally(1, 100.0, WINDOW_S) == expected


@pytest.mark.parametrize(("later_s", "left"), [(9.0, 1), (9.999, 1), (10.0, 0), (1e6, 0)])
def test_a_bucket_is_forgotten_as_a_whole(later_s: float, left: int) -> None:
    window = Window(memory(), 0)
    window.count(OK, 1, 100.0, WINDOW_S)
    assert window.tally(1, 100.0 + later_s, WINDOW_S).ok == left


def test_a_new_generation_begins_with_nothing_and_an_older_one_is_dropped() -> None:
    window = Window(memory(), 0)
    window.count(FAILURE, 1, 100.0, WINDOW_S)
    window.count(OK, 2, 100.0, WINDOW_S)
    window.count(FAILURE, 1, 100.0, WINDOW_S)
    assert window.tally(2, 100.0, WINDOW_S) == Tally(ok=1)
    assert window.tally(1, 100.0, WINDOW_S) == Tally()


def test_a_time_read_before_waiting_for_the_lock_counts_in_the_newest_bucket() -> None:
    window = Window(memory(), 0)
    window.count(OK, 1, 101.0, WINDOW_S)
    window.count(OK, 1, 100.0, WINDOW_S)
    assert window.tally(1, 110.5, WINDOW_S).ok == 2


def test_a_rows_next_owner_goes_on_with_its_counts() -> None:
    kept = memory()
    Window(kept, 0).count(FAILURE, 1, 100.0, WINDOW_S)
    heir = Window(kept, 0)
    heir.count(FAILURE, 1, 100.5, WINDOW_S)
    heir.count(OK, 1, 103.0, WINDOW_S)
    assert heir.tally(1, 103.0, WINDOW_S) == Tally(ok=1, failures=2)


def test_without_a_row_a_worker_counts_for_itself() -> None:
    kept = memory()
    alone, shared = Window(kept, None), Window(kept, 0)
    alone.count(FAILURE, 1, 100.0, WINDOW_S)
    shared.count(OK, 1, 100.0, WINDOW_S)
    assert alone.tally(1, 100.0, WINDOW_S) == Tally(ok=1, failures=1)
    assert shared.tally(1, 100.0, WINDOW_S) == Tally(ok=1)


@settings(deadline=None)
@given(
    uses=st.lists(
        st.tuples(st.sampled_from([OK, FAILURE, QUICK, SLOW]), st.floats(0, 3)), max_size=60
    )
)
def test_the_window_is_a_filter_over_all_uses(uses: list[tuple[int, float]]) -> None:
    window, now_s, seen = Window(memory(1), 0), 100.0, []
    for word, pause_s in uses:
        now_s += pause_s
        window.count(word, 1, now_s, WINDOW_S)
        seen.append((int(now_s * BUCKETS / WINDOW_S), word))
    last = int(now_s * BUCKETS / WINDOW_S)
    live = [word for number, word in seen if number > last - BUCKETS]
    expected = Tally(*(live.count(word) for word in (OK, FAILURE, QUICK, SLOW)))
    assert window.tally(1, now_s, WINDOW_S) == expected


@pytest.mark.parametrize("locks", [Locks(), Locks.shared()], ids=["alone", "shared"])
def test_a_lock_has_one_owner_in_a_process(locks: Locks) -> None:
    assert locks.take(3)
    assert not locks.take(3)
    assert not locks.take(3, wait_s=0.002)
    assert locks.take(4)
    locks.free(3)
    locks.free(3)
    assert locks.take(3)
    locks.free(3)
    locks.free(4)


def test_a_lock_is_waited_for() -> None:
    locks = Locks()
    assert locks.take(0)
    thread = threading.Thread(target=locks.free, args=(0,))
    thread.start()
    assert locks.take(0, wait_s=20.0)
    thread.join(20)


def test_the_file_of_the_locks_has_no_name_and_no_exec_inherits_it() -> None:
    locks = Locks.shared()
    assert locks._descriptor is not None
    assert not os.get_inheritable(locks._descriptor)
    assert os.fstat(locks._descriptor).st_nlink == 0


def test_a_store_tells_when_its_state_is_held() -> None:
    store = BreakerStore.local()
    inside = []

    def change(state: BreakerState) -> BreakerState:
        inside.append(store.update(lambda same: same, 0.0))
        return state

    assert store.update(change, 0.0) == (0, BreakerState(), BreakerState())
    assert inside == [None]


def test_a_change_that_raises_frees_the_lock() -> None:
    store = BreakerStore.local()
    with pytest.raises(ZeroDivisionError):
        store.update(lambda _state: 1 // 0, 0.0)
    assert store.update(lambda state: state, 0.0) is not None
