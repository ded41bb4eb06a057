"""An engine, a reader or a writer that gives up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import duckdb
import pytest

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb import writer as writer_module
from guard.backends.duckdb.batch import Batch, WriterLimits
from guard.backends.duckdb.queue import RowInsert, WriteQueue
from guard.backends.duckdb.sessions import Handle
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendBusy, BackendClosed, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend_cases import Heard

    from guard.backends.base import Session
    from guard.backends.duckdb import DuckDBBackend
    from guard.backends.duckdb.queue import Unit

    Eventually = Callable[[Callable[[], object]], None]
    Make = Callable[..., DuckDBBackend]

ITEMS = Insert("items", ("id", "name"))


def ids(backend: DuckDBBackend) -> list[int]:
    return [row[0] for row in backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))]


def test_an_engine_that_gave_up_is_opened_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    backend = make()
    backend.insert(ITEMS, (1, "a"))
    first = backend._engine

    def statement(*_: object) -> None:
        raise duckdb.FatalException("planted")

    monkeypatch.setattr(Batch, "_statement", statement)
    with pytest.raises(BackendFailed, match="planted") as caught:
        backend.insert(ITEMS, (2, "a"))
    assert backend.classify(caught.value) is Outcome.FAILURE
    monkeypatch.undo()
    eventually(lambda: backend.ready and backend._engine is not first)
    backend.insert(ITEMS, (3, "a"))
    assert {1, 3} <= set(ids(backend))


def test_an_engine_that_gave_up_in_a_read_is_opened_anew(
    make: Make, eventually: Eventually
) -> None:
    backend = make()
    first = backend._engine

    def unit(_: Session) -> None:
        raise duckdb.FatalException("planted")

    with pytest.raises(duckdb.FatalException):
        backend.read(unit)
    eventually(lambda: backend.ready and backend._engine is not first)
    assert ids(backend) == []


def test_an_engine_that_gave_up_in_commit_leaves_the_outcome_open(
    make: Make, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    backend = make()
    first = backend._engine

    def commit(handle: Handle) -> None:
        handle.cursor.close()
        raise duckdb.FatalException("planted")

    def unit(session: Session) -> None:
        session.execute("INSERT INTO items VALUES (1, 'a')")

    monkeypatch.setattr(Handle, "commit", commit)
    with pytest.raises(BackendFailed, match="unknown"):
        backend.write(unit)
    monkeypatch.undo()
    eventually(lambda: backend.ready and backend._engine is not first)
    assert ids(backend) == []


def test_a_broken_reader_is_replaced(make: Make, heard: Heard) -> None:
    backend = make(readers=1)

    def unit(session: Session) -> None:
        session._handle.cursor.close()  # type: ignore[attr-defined]
        session.execute("SELECT 1")

    with pytest.raises(BackendFailed, match="closed"):
        backend.read(unit)
    assert heard.failures == [(Lane.READ, "unreachable")]
    assert ids(backend) == []
    assert backend.signals(Lane.READ).size == 1


def test_a_reader_that_can_not_be_replaced_is_seen(make: Make) -> None:
    backend = make(readers=2)

    def unit(session: Session) -> None:
        session._handle.cursor.close()  # type: ignore[attr-defined]
        backend._engine._connection.close()  # type: ignore[union-attr]
        session.execute("SELECT 1")

    with pytest.raises(BackendFailed):
        backend.read(unit)
    signals = backend.signals(Lane.READ)
    assert (signals.size, signals.size_max, signals.slots) == (1, 2, 1)


def test_a_fault_of_the_writer_fails_its_batch_and_no_more(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make()

    def claim(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(WriteQueue, "claim", claim)
    with pytest.raises(BackendFailed, match="unknown"):
        backend.insert(ITEMS, (1, "a"))
    monkeypatch.undo()
    assert "a bug" in caplog.text
    backend.insert(ITEMS, (2, "a"))
    assert ids(backend) == [2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_writer_fails_who_waits_and_is_replaced(
    make: Make, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    backend = make()
    first = backend._engine
    assert first is not None
    gone = threading.Event()

    def run_batch(self: writer_module.Writer, units: list[Unit]) -> None:
        eventually(lambda: self.waiting == 3)
        gone.set()
        del units
        raise LookupError("a bug")

    monkeypatch.setattr(writer_module.Writer, "_run_batch", run_batch)
    with ThreadPoolExecutor(3) as threads:
        # One is in the writer's hands, the others in the queue.
        calls = [threads.submit(backend.write, lambda session: session) for _ in range(3)]
        errors = [call.exception(20) for call in calls]
    assert gone.is_set()
    assert [type(error) for error in errors] == [BackendFailed] * 3
    monkeypatch.undo()
    eventually(lambda: backend.ready and backend._engine is not first)
    backend.insert(ITEMS, (9, "a"))
    assert ids(backend) == [9]


def test_one_probe_at_a_time(make: Make) -> None:
    backend = make()
    engine = backend._engine
    assert engine is not None
    with engine._probe._lock, pytest.raises(BackendBusy):
        backend.probe(Lane.READ, 0.01)
    backend.probe(Lane.READ, 1.0)
    assert engine.writer.close(20.0)
    with pytest.raises(BackendFailed, match="the writer has ended"):
        backend.probe(Lane.WRITE, 2.0)
    engine._probe_cursor.close()
    with pytest.raises(BackendFailed, match="closed"):
        backend.probe(Lane.READ, 2.0)


def test_who_waits_for_a_writer_that_died_in_the_middle_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """The last net: a thread that ended without having told anybody."""
    monkeypatch.setattr(writer_module, "_LOOK_S", 0.01)
    engine = make()._engine
    assert engine is not None
    dead = writer_module.Writer(
        engine._write, WriterLimits(1.0, 1, 1), engine.tools, lambda _: None
    )
    with ThreadPoolExecutor(1) as threads:
        unit = RowInsert(Bounds(0.0, 1.0), -1.0, ITEMS, (1, "a"))
        dead._queue.put(unit)
        assert dead._queue.claim(dead._queue.take(1)) == []
        dead._queue.end_lead()
        unit = RowInsert(Bounds(1e9, 1.0), 0.0, ITEMS, (1, "a"))
        dead._queue.put(unit)
        assert dead._queue.claim(dead._queue.take(1)) == [unit]
        unit.bounds = Bounds(0.0, 1.0)
        call = threads.submit(dead._wait, unit)
        call.result(20)
    assert isinstance(unit.error, BackendFailed)
    dead.join()
    assert dead.close(0.0)
    eventually(lambda: not dead.alive)


def test_a_sick_database_fails_the_whole_batch_at_once(make: Make, eventually: Eventually) -> None:
    backend = make()
    free, runs = threading.Event(), []

    def unit(_: Session) -> None:
        runs.append(1)
        raise duckdb.IOException("No space left on device, planted")

    with ThreadPoolExecutor(5) as threads:
        holder = threads.submit(backend.write, lambda _: free.wait(60))
        eventually(lambda: backend.signals(Lane.WRITE).in_use)
        calls = [threads.submit(backend.write, unit) for _ in range(4)]
        eventually(lambda: backend.signals(Lane.WRITE).waiting == 4)
        free.set()
        errors = [call.exception(20) for call in calls]
        assert holder.result(20)
    assert [type(error) for error in errors] == [BackendFailed] * 4
    assert len({id(error) for error in errors}) == 4
    assert runs == [1]
    backend.insert(ITEMS, (1, "a"))


def test_a_claim_after_the_time_to_close_is_refused(make: Make) -> None:
    engine = make()._engine
    assert engine is not None
    queue = WriteQueue(engine.tools.clock)
    unit = RowInsert(Bounds(20.0, 1.0), engine.tools.clock.now_s(), ITEMS, (1, "a"))
    queue.put(unit)
    in_hand = queue.take(1)
    assert queue.abandon() == []
    assert queue.claim(in_hand) == []
    assert isinstance(unit.error, BackendClosed)
    assert unit.gate.acquire(timeout=20)
    assert queue.waiting == 0
