"""Real processes over one board: one sees failures, all refuse; one probes; kills free all."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from breaker_world import PATIENCE_S, Listener, answer, until

from guard import metrics
from guard.board import Board
from guard.breaker import LaneBreaker
from guard.breaker.memory import FAILURE
from guard.clock import MonotonicClock
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKERS = 4
RULES = BreakerRules(min_calls=4, open_s=0.05, open_max_s=0.05, ramp_s=0.05)


class Shared:
    """Numbers that all processes of a test see."""

    def __init__(self, count: int = 24) -> None:
        self.words = memoryview(mmap.mmap(-1, 8 * count)).cast("Q")

    def wait(self, index: int, least: int) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while self.words[index] < least:
            assert time.monotonic() < until_s, f"word {index} stays {self.words[index]}"
            os.sched_yield()


def breaker_of(board: Board, index: int, *listeners: Listener, **rules: object) -> LaneBreaker:
    row = board.claim(index, os.getpid())
    store = row.breakers.stores[Lane.READ]
    changed = RULES._replace(**rules)
    clock = MonotonicClock()
    return LaneBreaker(Lane.READ, changed, clock, lambda: 0.0, row, listeners, store)


@contextmanager
def workers(work: Callable[[int], Any], count: int = WORKERS) -> Iterator[list[int]]:
    """Run ``work(index)`` in that many processes; all must end well, or be killed by the test."""
    pids = []
    for index in range(count):
        pid = os.fork()
        if not pid:  # pragma: no cover - the child is not measured
            status = 1
            try:
                work(index)
                status = 0
            except BaseException:  # noqa: BLE001 - told to the parent by the status
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        pids.append(pid)
    try:
        yield pids
        for pid in list(pids):
            pids.remove(pid)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_one_sees_failures_and_all_refuse() -> None:
    board, shared = Board.anonymous(WORKERS), Shared()

    def work(index: int) -> None:
        breaker = breaker_of(board, index, open_s=60.0, open_max_s=60.0)
        assert breaker.admits()
        shared.words[index] = 1
        for other in range(WORKERS):
            shared.wait(other, 1)
        if index == 0:
            for _ in range(4):
                breaker.record(Outcome.FAILURE, breaker.generation)
            assert not breaker.admits()
            shared.words[8] = 1
        shared.wait(8, 1)
        # The very next question: no time has to pass.
        assert not breaker.admits()
        assert breaker.generation == 2

    with workers(work):
        pass


def test_the_hosts_rate_decides_not_a_workers() -> None:
    board, shared = Board.anonymous(WORKERS), Shared()

    def work(index: int) -> None:
        breaker = breaker_of(board, index)
        shared.wait(8, index)
        breaker.record(Outcome.FAILURE, breaker.generation)
        shared.words[8] = index + 1
        # One failure each, four are asked for: the last one opens it for all.
        shared.wait(8, WORKERS)
        assert breaker.phase is BreakerPhase.OPEN

    with workers(work):
        pass


def test_one_worker_probes_at_a_time_and_all_hear_of_every_change_in_order() -> None:
    board, shared = Board.anonymous(WORKERS + 1), Shared()
    outages = 6

    def work(index: int) -> None:
        listener = Listener()
        breaker = breaker_of(board, index, listener)
        inside = index + 1

        def probe() -> None:
            assert shared.words[10] == 0, "another worker is probing"
            shared.words[10] = inside
            time.sleep(0.002)  # noqa: TID251 - long enough for the others to try
            assert shared.words[10] == inside
            shared.words[10] = 0
            shared.words[index] += 1

        wrong = 0
        shared.words[16 + index] = 1
        while not shared.words[9]:
            before = shared.words[index]
            wrong += breaker.run_probe_if_due(probe) and shared.words[index] == before
        breaker.look()
        assert not wrong
        afters = [after for _, _, after in listener.heard]
        befores = [before for _, before, _ in listener.heard]
        assert befores == ["closed", *afters[:-1]]
        assert afters == ["open", "half-open", "closed"] * outages

    with workers(work):
        boss = breaker_of(board, WORKERS)
        for index in range(WORKERS):
            shared.wait(16 + index, 1)
        for _ in range(outages):
            until(lambda: boss.phase is BreakerPhase.CLOSED)
            for _ in range(4):
                boss.record(Outcome.FAILURE, boss.generation)
            until(lambda: boss.phase is not BreakerPhase.OPEN)
        until(lambda: boss.phase is BreakerPhase.CLOSED)
        shared.words[9] = 1
    # Every change began a generation, and was counted by exactly one process.
    assert sum(shared.words[index] for index in range(WORKERS)) == outages
    assert boss.generation == 1 + 4 * outages
    samples = [one for one in board.collect() if one.metric is metrics.BREAKER_TRANSITIONS]
    assert sum(one.value for one in samples) == 4 * outages


def test_generations_are_neither_lost_nor_given_twice() -> None:
    board, shared = Board.anonymous(WORKERS), Shared()
    turns = 200

    def work(index: int) -> None:
        breaker = breaker_of(board, index)
        made = 0
        for turn in range(turns):
            before: list[int] = []
            phase = BreakerPhase.OPEN if turn % 2 else BreakerPhase.CLOSED

            def change(state, phase=phase, before=before):
                if state.phase is phase:
                    return state
                before.append(state.generation)
                return state._replace(phase=phase, generation=state.generation + 1)

            assert breaker.change(change, wait_s=PATIENCE_S)
            made += len(before)
        shared.words[index] = made

    with workers(work):
        pass
    board_breaker = board._breakers._memories[Lane.READ]
    _, state = board_breaker.read()
    assert state.generation == 1 + sum(shared.words[index] for index in range(WORKERS))


@pytest.mark.parametrize("at", ["change", "probe"])
def test_a_worker_killed_inside_leaves_the_breaker_to_the_others(at: str) -> None:
    board, shared = Board.anonymous(2), Shared()

    def stay(state):
        shared.words[0] = 1
        time.sleep(PATIENCE_S)  # noqa: TID251 - until it is killed
        return state

    def work(_index: int) -> None:
        breaker = breaker_of(board, 0)
        if at == "change":
            breaker.change(stay)
        breaker.move(BreakerPhase.HALF_OPEN)
        breaker.run_probe_if_due(lambda: stay(None))

    with workers(work, 1) as pids:
        shared.wait(0, 1)
        other = breaker_of(board, 1)
        if at == "change":
            assert not other.change(lambda state: state)
        else:
            assert other.phase is BreakerPhase.HALF_OPEN
            assert not other.run_probe_if_due(answer)
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids.pop(), 0)
    other.move(BreakerPhase.HALF_OPEN)
    assert other.run_probe_if_due(answer)
    assert other.admits()


def test_a_stopped_worker_that_holds_the_lock_delays_nobody_for_long() -> None:
    board, shared = Board.anonymous(2), Shared()

    def stay(state):
        shared.words[0] = 1
        time.sleep(PATIENCE_S)  # noqa: TID251 - until it is killed
        return state

    with workers(lambda _index: breaker_of(board, 0).change(stay), 1) as pids:
        shared.wait(0, 1)
        os.kill(pids[0], signal.SIGSTOP)
        other = breaker_of(board, 1)
        for _ in range(8):
            other.record(Outcome.FAILURE, other.generation)
        assert other.admits()
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids.pop(), 0)
        other.record(Outcome.FAILURE, other.generation)
        assert not other.admits()


def test_a_child_of_a_worker_neither_counts_in_its_row_nor_keeps_its_locks() -> None:
    board, shared = Board.anonymous(2), Shared()

    def work(_index: int) -> None:
        breaker = breaker_of(board, 0)
        store = breaker._store
        assert store.take_lease(5)
        assert store.take_lease(6)
        child = os.fork()
        if not child:
            now_s = MonotonicClock().now_s()
            for _ in range(4):
                store.window.count(FAILURE, breaker.generation, now_s, 10.0)
            shared.words[0] = 1 + store.take_lease(5)
            shared.wait(2, 1)
            shared.words[3] = 1 + store.take_lease(6)
            shared.words[1] = os.getpid()
            time.sleep(PATIENCE_S)  # noqa: TID251 - outlives its parent
            os._exit(0)
        shared.wait(0, 1)
        store.free_lease(6)
        shared.words[2] = 1
        shared.wait(1, 1)

    with workers(work, 1):
        shared.wait(1, 1)
    try:
        assert shared.words[0] == 1, "the child had its parent's lease"
        assert shared.words[3] == 2, "the child thought it had its parent's lease"
        other = breaker_of(board, 1)
        assert other._store.take_lease(5)
        assert other.failures == 0
    finally:
        os.kill(shared.words[1], signal.SIGKILL)


def test_the_page_of_metrics_shows_the_host_and_not_what_a_worker_last_saw() -> None:
    board = Board.anonymous(2)
    one, other = breaker_of(board, 0), breaker_of(board, 1)
    assert other.admits()
    one.move(BreakerPhase.OPEN)

    def value(metric: metrics.Metric, *labels: str) -> float:
        return board.value(metric, ("read", *labels))

    assert [value(metrics.BREAKER_STATE, phase.value) for phase in BreakerPhase] == [0, 1, 0, 0]
    assert value(metrics.BREAKER_SHARE) == 0.0
    assert value(metrics.BREAKER_OPENED) > 1.7e9
    assert board.value(metrics.BREAKER_STATE, ("write", "closed")) == 0.0  # nobody uses it
    one.move(BreakerPhase.CLOSED)
    assert [value(metrics.BREAKER_STATE, phase.value) for phase in BreakerPhase] == [1, 0, 0, 0]
    assert value(metrics.BREAKER_SHARE) == 1.0
    forced = Board.anonymous(1)
    breaker_of(forced, 0, mode="open")
    assert forced.value(metrics.BREAKER_STATE, ("read", "open")) == 1.0


def test_the_boards_memory_has_no_name() -> None:
    Board.anonymous(1)
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    shared = [words for words in maps if words[1] == "rw-s"]
    assert shared
    # Anonymous shared memory: "/dev/zero (deleted)", which nobody can open.
    assert all("(deleted)" in words for words in shared)
