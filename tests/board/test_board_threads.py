"""Threads that are made to switch at random bytecodes of the board."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from board_help import by_key, run_switching

from guard import metrics
from guard.board import Board
from guard.board import board as board_module
from guard.board.layout import BoardHead
from guard.board.sums import Totals
from guard.metrics import ALL, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.board import WorkerRow
    from guard.board.layout import RowMemory
    from guard.board.sums import Directory

THREADS, TURNS = 4, 40


def hammer(row: WorkerRow, seed: int) -> None:
    def work() -> None:
        for turn in range(TURNS):
            row.add(metrics.DB_ERRORS, ("read", "busy"))
            row.observe(metrics.BATCH_SIZE, (), 2.0)
            row.add(metrics.HTTP_RESPONSES, ("GET", f"/{turn % 8}", "200"))

    run_switching([work] * THREADS, seed, 0.2)


def lost(board: Board) -> float:
    """Return how many of the hammer's measurements are missing or surplus, in any sum."""
    samples = by_key(board.collect())
    batch = samples[metrics.BATCH_SIZE, ()]
    responses = sum(s.value for (m, _), s in samples.items() if m is metrics.HTTP_RESPONSES)
    totals = (
        samples[metrics.DB_ERRORS, ("read", "busy")].value,
        batch.value / 2,
        sum(batch.counts),
        responses,
    )
    return sum(abs(THREADS * TURNS - total) for total in totals)


@pytest.mark.parametrize("seed", range(3))
def test_threads_of_a_worker_lose_nothing(seed: int) -> None:
    board, row = Board.local()
    hammer(row, seed)
    assert lost(board) == 0.0


def test_without_the_lock_it_would_be_noticed() -> None:
    board, row = Board.local()
    row._lock = nullcontext()  # type: ignore[assignment]
    hammer(row, 1)
    assert lost(board) > 0.0


ROWS = 4
COUNTED = [(m, ls) for m in ALL if m.kind is Kind.COUNTER for ls in m.known_label_sets() if ls]


def read_while_retiring(seed: int) -> set[float]:
    """Return every sum of totals that a reader sees while rows are retired."""
    board = Board.anonymous(ROWS)
    for index in range(ROWS):
        row = board.claim(index, 100 + index)
        for metric, labels in COUNTED:
            row.add(metric, labels)
    seen: set[float] = set()
    finished = False

    def retire() -> None:
        nonlocal finished
        try:
            for index in range(ROWS):
                board.retire(index)
        finally:
            finished = True

    def read() -> None:
        while not finished:
            samples = by_key(board.collect())
            seen.add(sum(samples[key].value for key in COUNTED))

    # On a busy machine a reader must not give up: a retirement takes long here.
    with patch.object(board_module, "_TRIES", 2_000):
        run_switching([retire, read], seed, 0.01)
    samples = by_key(board.collect())
    return seen | {sum(samples[key].value for key in COUNTED)}


def test_a_reader_sees_each_count_once_while_rows_are_retired() -> None:
    assert read_while_retiring(1) == {float(ROWS * len(COUNTED))}


def read_around_a_retirement(monkeypatch: pytest.MonkeyPatch) -> float:
    """Return a total for which the retired row was read before, and the others after, a retire."""
    board = Board.anonymous(2)
    for index in range(2):
        board.claim(index, 100 + index).add(metrics.DB_ERRORS, ("read", "busy"))
    add = Totals.add

    def interrupted(self: Totals, directory: Directory, memory: RowMemory) -> None:
        add(self, directory, memory)
        monkeypatch.setattr(Totals, "add", add)
        board.retire(1)

    monkeypatch.setattr(Totals, "add", interrupted)
    return board.value(metrics.DB_ERRORS, ("read", "busy"))


def test_a_reader_looks_again_after_a_retirement(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_around_a_retirement(monkeypatch) == 2.0


def test_without_the_sequence_number_it_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoardHead, "sequence", property(lambda _: 0, lambda _, __: None))
    whole = {float(ROWS * len(COUNTED))}
    # One schedule may miss it on a busy machine.
    assert any(read_while_retiring(seed) > whole for seed in range(10))
    assert read_around_a_retirement(monkeypatch) == 1.0


def test_the_lock_is_not_held_while_other_rows_are_read() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, 100)
    held = []
    routes: Callable[[], set[str]] = board._routes

    def watched() -> set[str]:
        held.append(row._lock.locked())
        return routes()

    row._routes_of_host = watched
    row.add(metrics.HTTP_RESPONSES, ("GET", "/", "200"))
    assert held == [False]
