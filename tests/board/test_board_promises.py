"""What workers share beside their rows: promises by several processes, and after a death."""

from __future__ import annotations

import mmap
import os
import random
import signal
from typing import TYPE_CHECKING

import pytest
from board_help import ended, forked

from guard import metrics
from guard.board import Board
from guard.board.shared import Shared
from guard.book import AppointmentBook
from guard.core.promise_ring import SECONDS
from guard.core.vocabulary import Lane
from guard.events import Decided
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1000
READ, WRITE = Lane


def promises(board: Board, rows: int) -> list[int]:
    """Return the read lane's promises for each second from now."""
    ring = Shared(board._promises, rows, 0, board._decided).ring(READ)
    return [ring.promised(NOW + ahead) for ahead in range(SECONDS)]


def give_out(board: Board, writer: int, spare: int, count: int, ready: memoryview) -> None:
    """Be a worker who has a client at the same time as all the others, again and again."""
    row = board.claim(writer, os.getpid())
    book = AppointmentBook(
        row.siblings, FakeClock(float(NOW)), random.Random(writer).random, row, 1, 60
    )
    book._pages[READ]._spare = spare
    ready[writer] = 1
    while not all(ready.tolist()):
        os.sched_yield()
    for _ in range(count):
        book.appoint(READ, 0.0, outage=False)


@pytest.mark.parametrize("_", range(3))
def test_processes_over_promise_by_one_each_at_most_and_lose_nothing(_: int) -> None:
    workers, spare, count = 4, 200, 300
    board = Board.anonymous(workers)
    ready = memoryview(mmap.mmap(-1, 4096))[:workers]
    pids = [
        forked(lambda writer=writer: give_out(board, writer, spare, count, ready))  # type: ignore[misc]
        for writer in range(workers)
    ]
    assert [ended(pid) for pid in pids] == [0] * workers
    found = promises(board, workers)
    assert sum(found) == workers * count
    # All come in one quarter, which takes a quarter of what is spare.
    assert max(found) <= spare // 4 + workers - 1


def test_a_dead_workers_promises_stand_and_its_successor_adds_to_them() -> None:
    board = Board.anonymous(2)

    def work() -> None:
        row = board.claim(0, os.getpid())
        for _ in range(5):
            row.siblings.ring(READ).promise(NOW + 3, 1)
        row.siblings.tell_best(READ, 70.0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(work)) == -signal.SIGKILL
    assert promises(board, 2)[3] == 5
    board.retire(0)
    assert promises(board, 2)[3] == 5
    successor = board.claim(0, os.getpid()).siblings
    assert successor.best_per_s(READ) == 70.0
    assert successor.best_per_s(WRITE) == 0.0
    successor.ring(READ).promise(NOW + 3, 1)
    assert successor.ring(READ).counts(NOW + 3, 1) == (6, 6)
    assert successor.ring(WRITE).promised(NOW + 3) == 0


def test_a_process_forked_from_a_worker_promises_for_itself() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, os.getpid())
    siblings = row.siblings
    siblings.ring(READ).promise(NOW, 0)

    def work() -> None:
        siblings.ring(READ).promise(NOW, 0)
        siblings.tell_best(READ, 5.0)
        assert siblings.ring(READ).promised(NOW) == 2
        assert siblings.best_per_s(READ) == 5.0

    assert ended(forked(work)) == 0
    assert siblings.ring(READ).promised(NOW) == 1
    assert siblings.best_per_s(READ) == 0.0


def decide(row: object, decisions: Sequence[tuple[str, str, str]]) -> None:
    for labels in decisions:
        row.add(metrics.DECISIONS_TOTAL, labels)  # type: ignore[attr-defined]


def test_decisions_are_summed_by_lane_over_the_living_and_the_dead() -> None:
    board = Board.anonymous(3)
    rows = [board.claim(number, 100 + number) for number in range(2)]
    decide(
        rows[0],
        [
            ("admitted", "ok", "read"),
            ("would_shed", "pool_saturated", "read"),
            ("shed", "breaker_open", "read"),
            ("bypassed", "exempt", "read"),
        ],
    )
    decide(
        rows[1],
        [
            ("shed", "pool_saturated", "read"),
            ("shed", "threads_exhausted", "read"),
            ("shed", "queue_delay", "read"),
            ("admitted", "ok", "write"),
        ],
    )
    expected = {READ: Decided(6.0, 2.0, 3.0), WRITE: Decided(1.0, 1.0, 0.0)}
    assert rows[0].siblings.look() == (expected, 2)
    board.retire(1)
    assert rows[0].siblings.look() == (expected, 1)
