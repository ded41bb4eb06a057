"""The writer: what is committed together, and that nobody pays for another one's error."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pytest

from guard.backends.base import Bounds, Insert, Session
from guard.backends.duckdb import batch as batch_module
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendError,
    ConstraintViolation,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backend_cases import Heard

    from guard.backends.base import Row
    from guard.backends.duckdb import DuckDBBackend
    from guard.backends.duckdb.queue import Unit

    Eventually = Callable[[Callable[[], object]], None]
    Call = Callable[[], object]

ITEMS = Insert("items", ("id", "name"))
SLOW = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b"


@contextmanager
def writer_held(backend: DuckDBBackend, eventually: Eventually) -> Iterator[threading.Event]:
    free = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        try:
            holder = threads.submit(backend.write, lambda _: free.wait(60))
            eventually(lambda: backend.signals(Lane.WRITE).in_use)
            yield free
        finally:
            free.set()
        assert holder.result(20)


def together(
    backend: DuckDBBackend, eventually: Eventually, calls: list[Call]
) -> list[BaseException | None]:
    """Let all calls wait for the writer, in their order; return each one's error."""
    futures = []
    with ThreadPoolExecutor(len(calls)) as threads, writer_held(backend, eventually) as free:
        for count, call in enumerate(calls, start=1):
            futures.append(threads.submit(call))
            eventually(lambda count=count: backend.signals(Lane.WRITE).waiting == count)
        free.set()
        return [future.exception(20) for future in futures]


def inserting(backend: DuckDBBackend, insert: Insert, row: Row) -> Call:
    return lambda: backend.insert(insert, row)


def writing(backend: DuckDBBackend, sql: str, bounds: Bounds | None = None) -> Call:
    return lambda: backend.write(lambda s: s.execute(sql), bounds)


def ids(backend: DuckDBBackend) -> list[int]:
    return [row[0] for row in backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))]


def test_what_waits_is_committed_together(
    backend: DuckDBBackend, heard: Heard, eventually: Eventually
) -> None:
    calls = [inserting(backend, ITEMS, (n, "a")) for n in range(40)]
    assert together(backend, eventually, calls) == [None] * 40
    # The one that held the writer, then all others.
    assert heard.batches == [1, 40]
    assert ids(backend) == list(range(40))
    waits = [lane for lane, waited_s in heard.lock_waits if waited_s > 0]
    assert waits == [Lane.WRITE] * 41


def test_a_batch_is_bounded(
    make: Callable[..., DuckDBBackend], heard: Heard, eventually: Eventually
) -> None:
    backend = make(write_batch_max=16)
    calls = [inserting(backend, ITEMS, (n, "a")) for n in range(40)]
    assert together(backend, eventually, calls) == [None] * 40
    assert heard.batches == [1, 16, 16, 8]
    assert backend.signals(Lane.WRITE).slots == 16


@pytest.mark.parametrize(
    "bad",
    [
        (100, "taken"),
        (5, "twice in the batch"),
        (1000, None),
        ("no number", "a"),
        (2**40, "too large"),
        (1000, "\ud800"),
        (1000, object()),
    ],
)
def test_one_bad_row_among_32(
    backend: DuckDBBackend, heard: Heard, eventually: Eventually, bad: Row
) -> None:
    backend.insert(ITEMS, (100, "there"))
    heard.batches.clear()
    calls = [inserting(backend, ITEMS, (n, "a")) for n in range(31)]
    calls.insert(17, inserting(backend, ITEMS, bad))
    errors = together(backend, eventually, calls)
    assert [n for n, error in enumerate(errors) if error] == [17]
    assert ids(backend) == [*range(31), 100]
    assert sum(heard.batches) == 32
    error = errors[17]
    assert error is not None
    assert isinstance(error, ConstraintViolation | duckdb.Error)
    assert backend.classify(error) is Outcome.OK


def test_nothing_but_bad_rows(backend: DuckDBBackend, eventually: Eventually) -> None:
    backend.insert(ITEMS, (1, "there"))
    calls = [inserting(backend, ITEMS, (1, str(n))) for n in range(20)]
    errors = together(backend, eventually, calls)
    assert all(isinstance(error, ConstraintViolation) for error in errors)
    assert len({id(error) for error in errors}) == 20
    backend.insert(ITEMS, (2, "fine"))
    assert ids(backend) == [1, 2]


def test_values_are_stored_as_if_alone(backend: DuckDBBackend, eventually: Eventually) -> None:
    backend.write(lambda s: s.execute("CREATE TABLE exact (id integer, value decimal(38, 2))"))
    exact = Insert("exact", ("id", "value"))
    values = [2**60 + 1, 1.5, Decimal("123456789012345678901234567890.25"), "7.25", None, True]
    calls = [inserting(backend, exact, row) for row in enumerate(values)]
    assert together(backend, eventually, calls) == [None] * len(values)
    stored = backend.read(lambda s: s.execute("SELECT value FROM exact ORDER BY id"))
    assert [row[0] for row in stored] == [
        Decimal(2**60 + 1), Decimal("1.5"), values[2], Decimal("7.25"), None, Decimal(1),
    ]  # fmt: skip


def test_names_are_quoted(backend: DuckDBBackend, eventually: Eventually) -> None:
    backend.write(lambda s: s.execute('CREATE TABLE "odd ""name" ("select" integer PRIMARY KEY)'))
    odd = Insert('odd "name', ("select",))
    calls = [inserting(backend, odd, (n,)) for n in (1, 2, 3)]
    assert together(backend, eventually, calls) == [None] * 3
    backend.insert(odd, (4,))
    assert backend.read(lambda s: s.execute('SELECT count(*) FROM "odd ""name"')) == [(4,)]


def test_a_failing_unit_loses_no_other(backend: DuckDBBackend, eventually: Eventually) -> None:
    calls = [
        writing(backend, "INSERT INTO items VALUES (1, 'unit')"),
        inserting(backend, ITEMS, (2, "row")),
        writing(backend, "INSERT INTO items VALUES (3, NULL)"),
        writing(backend, "SELECT * FROM nosuch"),
        writing(backend, "INSERT INTO items VALUES (4, 'unit')"),
        inserting(backend, ITEMS, (5, "row")),
        inserting(backend, ITEMS, (5, "again")),
    ]
    errors = together(backend, eventually, calls)
    assert [type(error) for error in errors] == [
        type(None), type(None), duckdb.ConstraintException, duckdb.CatalogException,
        type(None), type(None), ConstraintViolation,
    ]  # fmt: skip
    assert ids(backend) == [1, 2, 4, 5]


def test_what_fails_only_beside_others_is_run_alone(
    backend: DuckDBBackend, eventually: Eventually
) -> None:
    runs: list[bool] = []

    def unit(session: Session) -> None:
        [(crowded,)] = session.execute("SELECT count(*) > 0 FROM items")
        runs.append(crowded)
        session.execute("INSERT INTO items VALUES (1, 'a')")

    calls: list[Call] = [
        writing(backend, "INSERT INTO items VALUES (1, 'first')"),
        writing(backend, "DELETE FROM items"),
        lambda: backend.write(unit),
    ]
    assert together(backend, eventually, calls) == [None] * 3
    assert ids(backend) == [1]
    assert runs[-1] is False


def test_a_slow_unit_is_not_waited_for(
    backend: DuckDBBackend, heard: Heard, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(batch_module, "LONG_S", -1.0)
    calls = [writing(backend, f"INSERT INTO items VALUES ({n}, 'unit')") for n in range(4)]
    assert together(backend, eventually, calls) == [None] * 4
    assert heard.batches == [1, 1, 1, 1, 1]


def test_a_time_out_hits_only_its_own_unit(backend: DuckDBBackend, eventually: Eventually) -> None:
    calls = [
        writing(backend, "INSERT INTO items VALUES (1, 'unit')"),
        writing(backend, SLOW, Bounds(20.0, 0.05)),
        writing(backend, "INSERT INTO items VALUES (2, 'unit')"),
        inserting(backend, ITEMS, (3, "row")),
    ]
    errors = together(backend, eventually, calls)
    assert [type(error) for error in errors] == [
        type(None), StatementTimeout, type(None), type(None),
    ]  # fmt: skip
    assert ids(backend) == [1, 2, 3]


def test_a_wait_that_is_over_is_refused_even_if_nobody_woke_up(
    backend: DuckDBBackend, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's thread may get the processor later than the writer's."""
    engine = backend._engine
    assert engine is not None
    monkeypatch.setattr(engine.writer, "_wait", lambda unit: unit.gate.acquire(timeout=20))
    errors = together(
        backend, eventually, [lambda: backend.insert(ITEMS, (1, "a"), Bounds(-1.0, 20.0))]
    )
    assert isinstance(errors[0], BackendBusy)
    assert ids(backend) == []


def test_a_lone_row_is_committed_by_its_callers_own_thread(
    backend: DuckDBBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    run = batch_module.Batch.run

    def told(self: batch_module.Batch, units: list[Unit]) -> BaseException | None:
        names.append(threading.current_thread().name)
        return run(self, units)

    monkeypatch.setattr(batch_module.Batch, "run", told)
    backend.insert(ITEMS, (1, "a"))
    backend.write(lambda session: session.execute("INSERT INTO items VALUES (2, 'b')"))
    assert names == [threading.current_thread().name, "guard-duckdb-writer"]
    assert ids(backend) == [1, 2]


def test_rows_that_come_while_a_caller_commits_are_the_writers(
    backend: DuckDBBackend, heard: Heard, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    free, run = threading.Event(), batch_module.Batch.run

    def held(self: batch_module.Batch, units: list[Unit]) -> BaseException | None:
        assert free.wait(20)
        return run(self, units)

    monkeypatch.setattr(batch_module.Batch, "run", held)
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(backend.insert, ITEMS, (0, "first"))
        eventually(lambda: backend.signals(Lane.WRITE).in_use)
        calls = [threads.submit(backend.insert, ITEMS, (n, "later")) for n in range(1, 5)]
        eventually(lambda: backend.signals(Lane.WRITE).waiting == 5)
        closing = threads.submit(backend.close, 20.0)
        eventually(lambda: not backend.ready)
        free.set()
        assert [call.exception(20) for call in (first, *calls, closing)] == [None] * 6
    assert heard.batches == [1, 4]


def test_units_see_their_callers_context_and_may_read(backend: DuckDBBackend) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    name.set("mine")
    assert backend.write(lambda _: (name.get(), ids(backend))) == ("mine", [])


def test_a_write_inside_a_write_is_refused_at_once(backend: DuckDBBackend) -> None:
    with pytest.raises(BackendError, match="inside its own unit"):
        backend.write(lambda _: backend.insert(ITEMS, (1, "a")))
    backend.insert(ITEMS, (2, "a"))
    assert ids(backend) == [2]


@pytest.mark.parametrize(
    "sql", ["COMMIT", "ROLLBACK", "BEGIN", "SET threads = 2", "USE main", "ATTACH 'x' AS y",
            "COPY items TO 'x'", "CHECKPOINT", "PREPARE x AS SELECT 1", "SELECT 1; SELECT 2", ""]
)  # fmt: skip
def test_a_unit_can_not_end_the_transaction_or_change_the_connection(
    backend: DuckDBBackend, sql: str
) -> None:
    def unit(session: Session) -> None:
        session.execute("INSERT INTO items VALUES (1, 'a')")
        session.execute(sql)

    with pytest.raises(BackendError) as caught:
        backend.write(unit)
    assert backend.classify(caught.value) is Outcome.OK
    assert ids(backend) == []


def test_a_row_must_have_the_shapes_length(backend: DuckDBBackend) -> None:
    with pytest.raises(ValueError, match="1 values"):
        backend.insert(ITEMS, (1,))


def test_even_an_interrupt_in_a_unit_reaches_its_caller_only(
    backend: DuckDBBackend, eventually: Eventually
) -> None:
    def unit(_: Session) -> None:
        raise KeyboardInterrupt

    calls: list[Call] = [
        writing(backend, "INSERT INTO items VALUES (1, 'a')"),
        lambda: backend.write(unit),
    ]
    errors = together(backend, eventually, calls)
    assert [type(error) for error in errors] == [type(None), KeyboardInterrupt]
    assert ids(backend) == [1]
