"""Real processes: writers, a reader, and SIGKILL anywhere."""

from __future__ import annotations

import mmap
import os
import random
import signal
from threading import Event

import pytest
from board_help import ended, forked, growing, never_down, trace_opcodes

from guard import metrics
from guard.board import Board, WorkerRow

ROUNDS = 25
BUSY = ("read", "busy")


def acknowledged() -> memoryview:
    """Return one number that a child and its parent share."""
    return memoryview(mmap.mmap(-1, 8)).cast("Q")


def write(row: WorkerRow, number: int) -> None:
    row.add(metrics.DB_ERRORS, BUSY)
    row.observe(metrics.HTTP_DURATION, ("GET", f"/{number % 60}"), 0.5)
    row.add(metrics.HTTP_RESPONSES, ("GET", f"/{number % 60}", str(200 + number % 7)))
    row.set(metrics.INFLIGHT, ("read",), number)


def totals(board: Board) -> tuple[float, float, float]:
    samples = board.collect()
    durations = [s for s in samples if s.metric is metrics.HTTP_DURATION]
    responses = [s for s in samples if s.metric is metrics.HTTP_RESPONSES]
    return (
        board.value(metrics.DB_ERRORS, BUSY),
        sum(sum(s.counts) for s in durations),
        sum(s.value for s in responses),
    )


def test_two_processes_write_and_one_reads() -> None:
    board = Board.anonymous(2)
    writes, lives = 4000, 3
    before = growing(board)
    for _ in range(lives):
        pids = {}
        for index in range(2):

            def work(index: int = index) -> None:
                row = board.claim(index, os.getpid())
                for number in range(writes):
                    write(row, number)

            pids[forked(work)] = index
        while pids:
            after = growing(board)
            never_down(before, after)
            before = after
            pid, status = os.waitpid(next(iter(pids)), os.WNOHANG)
            if pid:
                assert status == 0
                board.retire(pids.pop(pid))
    assert totals(board) == (2.0 * writes * lives,) * 3
    never_down(before, growing(board))


def claims_bytecodes() -> int:
    """Return how many bytecodes a claim takes; it grows with the table of metrics."""
    counted = acknowledged()

    def work() -> None:  # pragma: no cover - in a child
        seen = 0

        def count() -> None:
            nonlocal seen
            seen += 1

        trace_opcodes(count)
        Board.anonymous(1).claim(0, os.getpid())
        counted[0] = seen

    assert ended(forked(work)) == 0
    return int(counted[0])


def kill_rounds(board: Board, rounds: int, ends: random.Random, *, by_opcode: bool) -> int:
    """Kill a worker in each round and check what is left; return the sum of acknowledged writes."""
    sure = 0
    claim = claims_bytecodes()
    for number_of_round in range(rounds):
        done = acknowledged()
        # In the claim, or at one of the first writes, each of which takes 150 to 500.
        last = ends.choice((ends.randrange(claim), claim - 5_000 + ends.randrange(30_000)))

        def work(done: memoryview = done, last: int = last) -> None:
            if by_opcode:
                kill_at(last)
            row = board.claim(0, os.getpid())
            for number in range(10**9):
                write(row, number)
                done[0] = number + 1

        before = totals(board)
        pid = forked(work)
        if not by_opcode:
            # Every other worker is let write first, however slowly a process starts here.
            for _ in range(5000 if number_of_round % 2 else 0):
                if done[0]:
                    break
                Event().wait(0.001)
            Event().wait(ends.random() * 0.02)
            os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        while_dead = growing(board)
        board.retire(0)
        board.retire(0)
        never_down(while_dead, growing(board))
        assert board.rows_in_use() == []
        assert board.value(metrics.INFLIGHT, ("read",)) == 0.0
        for old, new in zip(before, totals(board), strict=True):
            assert done[0] <= new - old <= done[0] + 1
        sure += done[0]
    return sure


def kill_at(last: int) -> None:  # pragma: no cover - in a child
    left = last

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    trace_opcodes(count_down)


@pytest.mark.parametrize("by_opcode", [False, True], ids=["by time", "by bytecode"])
def test_killed_at_any_instruction(*, by_opcode: bool) -> None:
    board = Board.anonymous(1)
    sure = kill_rounds(board, ROUNDS, random.Random(7), by_opcode=by_opcode)
    assert sure > 0
    assert all(sure <= total <= sure + ROUNDS for total in totals(board))
    assert board.value(metrics.WORKER_RECYCLES) <= ROUNDS
