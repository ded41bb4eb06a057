"""Shared memory for what all workers of a host measure: one single-writer row per worker."""

from guard.board.board import Board, RowInUse, RowTaken, WorkerView
from guard.board.notes import Note
from guard.board.refusals import Refusal, Ring
from guard.board.row import WorkerRow

__all__ = ["Board", "Note", "Refusal", "Ring", "RowInUse", "RowTaken", "WorkerRow", "WorkerView"]
