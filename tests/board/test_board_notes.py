"""The documents beside the rows."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.board import Board
from guard.board.notes import NOTE_BYTES, Note, Notes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def fresh(size: int = NOTE_BYTES) -> Note:
    return Note(memoryview(bytearray(size)))


@given(st.lists(st.tuples(st.sampled_from("abc"), VALUES), max_size=8))
def test_what_is_put_last_is_read(parts: list[tuple[str, object]]) -> None:
    note = fresh()
    for name, value in parts:
        assert note.put(name, value)
    assert note.read() == dict(parts)


def test_a_shorter_document_leaves_nothing_of_a_longer_one() -> None:
    note = fresh()
    note.put("a", "x" * 1000)
    note.put("a", "y")
    assert note.read() == {"a": "y"}
    note.clear()
    assert note.read() == {}


def test_what_does_not_fit_is_left_out() -> None:
    note = fresh(64)
    assert note.put("a", "short")
    assert not note.put("b", "x" * 64)
    assert note.read() == {}
    assert note.put("b", "short")
    assert note.read() == {"a": "short", "b": "short"}


def test_a_torn_document_is_none() -> None:
    memory = memoryview(bytearray(64))
    note = Note(memory)
    note.put("a", "value")
    memory[12] ^= 1
    assert note.read() == {}
    memory[12] ^= 1
    assert note.read() == {"a": "value"}
    memory[4:8] = b"\xff\xff\xff\xff"
    assert note.read() == {}


def test_a_reader_sees_only_whole_documents() -> None:
    note, stop, seen = fresh(), threading.Event(), []

    def write() -> None:
        for number in range(3000):
            note.put("n", [number] * (number % 50))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        seen.append(note.read().get("n", []))
    writer.join()
    assert all(len(set(numbers)) <= 1 for numbers in seen)


def test_the_board_shows_the_living_workers_notes() -> None:
    board = Board.anonymous(3)
    first, second = board.claim(0, 100), board.claim(2, 300)
    first.note.put("locks", [1])
    assert board.notes() == {100: {"locks": [1]}, 300: {}}
    second.note.put("locks", [2])
    board.retire(0)
    assert board.notes() == {300: {"locks": [2]}}
    board.claim(0, 101)
    assert board.notes()[101] == {}


@pytest.mark.process
def test_another_process_reads_it_and_a_child_of_the_worker_changes_nothing() -> None:
    notes = Notes(1)
    pid = os.fork()
    if not pid:
        note = notes.note(0)
        note.put("by", "worker")
        grandchild = os.fork()
        if not grandchild:
            note.put("by", "child")
            os._exit(0)
        os.waitpid(grandchild, 0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert notes.note(0).read() == {"by": "worker"}
