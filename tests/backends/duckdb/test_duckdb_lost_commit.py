"""A COMMIT that raises: what was kept, and what the callers are told.

The errors are planted: the real ones (but for a full disk, which test_duckdb_faults.py has)
can't be had at will.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pytest

from guard.backends.base import Insert, Session
from guard.backends.duckdb.batch import Batch
from guard.backends.duckdb.sessions import Handle
from guard.core.vocabulary import Lane
from guard.errors import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backend_cases import Heard

    from guard.backends.base import Row
    from guard.backends.duckdb import DuckDBBackend

    Eventually = Callable[[Callable[[], object]], None]

ITEMS = Insert("items", ("id", "name"))
LOOSE = Insert("loose", ("value", "note"))


def ids(backend: DuckDBBackend) -> list[int]:
    return [row[0] for row in backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes COMMIT raise once, after it was made (``kept``) or instead of it."""

    def planted(error: Exception, *, kept: bool, ends: bool = True) -> None:
        original = Handle.commit

        def commit(handle: Handle) -> None:
            monkeypatch.setattr(Handle, "commit", original)
            if kept:
                original(handle)
            elif ends:
                handle.cursor.execute("ROLLBACK")
            raise error

        monkeypatch.setattr(Handle, "commit", commit)

    return planted


def test_a_commit_that_raised_but_was_made_is_acknowledged(
    backend: DuckDBBackend, plant: Callable[..., None], eventually: Eventually
) -> None:
    with writer_ready(backend, eventually) as run:
        plant(duckdb.IOException("planted"), kept=True)
        assert run([(ITEMS, (1, "a")), (ITEMS, (2, "b"))]) == [None, None]
    assert ids(backend) == [1, 2]


@pytest.mark.parametrize("ends", [True, False])
def test_a_commit_that_raised_and_was_not_made_is_an_error(
    backend: DuckDBBackend, plant: Callable[..., None], eventually: Eventually, *, ends: bool
) -> None:
    with writer_ready(backend, eventually) as run:
        plant(duckdb.IOException("planted"), kept=False, ends=ends)
        errors = run([(ITEMS, (1, "a")), (ITEMS, (2, "b"))])
    assert [type(error) for error in errors] == [BackendFailed] * 2
    assert "unknown" not in str(errors[0])
    assert ids(backend) == []
    backend.insert(ITEMS, (1, "a"))


def test_a_commit_lost_to_a_conflict_is_made_again_one_by_one(
    backend: DuckDBBackend, heard: Heard, plant: Callable[..., None], eventually: Eventually
) -> None:
    with writer_ready(backend, eventually) as run:
        plant(duckdb.TransactionException("Conflict, planted"), kept=False)
        assert run([(ITEMS, (1, "a")), (ITEMS, (2, "b"))]) == [None, None]
    assert ids(backend) == [1, 2]
    assert heard.batches[-2:] == [1, 1]


@pytest.mark.parametrize("kept", [True, False])
def test_without_a_key_the_outcome_is_unknown(
    backend: DuckDBBackend, plant: Callable[..., None], eventually: Eventually, *, kept: bool
) -> None:
    with writer_ready(backend, eventually) as run:
        plant(duckdb.IOException("planted"), kept=kept)
        errors = run([(LOOSE, (1.0, "a")), (LOOSE, (2.0, "b"))])
    assert [type(error) for error in errors] == [BackendFailed] * 2
    assert all("unknown" in str(error) for error in errors)


def test_a_key_that_is_null_or_not_given_tells_nothing(
    backend: DuckDBBackend, plant: Callable[..., None], eventually: Eventually
) -> None:
    backend.write(lambda s: s.execute("CREATE TABLE half (a integer UNIQUE, b integer)"))
    with writer_ready(backend, eventually) as run:
        plant(duckdb.IOException("planted"), kept=True)
        errors = run([(Insert("half", ("a", "b")), (None, 1)), (Insert("half", ("b",)), (1,))])
    assert all("unknown" in str(error) for error in errors)


def test_a_lone_units_commit_that_raised_is_unknown(
    backend: DuckDBBackend, plant: Callable[..., None]
) -> None:
    plant(duckdb.IOException("planted"), kept=True)
    with pytest.raises(BackendFailed, match="unknown"):
        backend.write(lambda s: s.execute("INSERT INTO items VALUES (1, 'a')"))


@contextmanager
def writer_ready(
    backend: DuckDBBackend, eventually: Eventually
) -> Iterator[Callable[[list[tuple[Insert, Row]]], list[BaseException | None]]]:
    """Gives a function that inserts rows in one transaction, the first one to COMMIT."""
    free = threading.Event()

    def hold(_: Session) -> None:
        free.wait(60)
        # A unit that fails needs no COMMIT, so the next COMMIT is that of the rows.
        raise LookupError

    with ThreadPoolExecutor(8) as threads:
        holder = threads.submit(backend.write, hold)
        eventually(lambda: backend.signals(Lane.WRITE).in_use)

        def run(rows: list[tuple[Insert, Row]]) -> list[BaseException | None]:
            futures = [threads.submit(backend.insert, *row) for row in rows]
            eventually(lambda: backend.signals(Lane.WRITE).waiting == len(rows))
            free.set()
            return [future.exception(20) for future in futures]

        try:
            yield run
        finally:
            free.set()
        assert isinstance(holder.exception(20), LookupError)


def test_a_lone_insert_whose_answer_was_lost_is_looked_up(
    backend: DuckDBBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Batch._statement

    def statement(self: Batch, sql: str, params: Row) -> None:
        original(self, sql, params)
        raise duckdb.IOException("planted")

    monkeypatch.setattr(Batch, "_statement", statement)
    backend.insert(ITEMS, (1, "a"))
    with pytest.raises(BackendFailed, match="unknown"):
        backend.insert(LOOSE, (1.0, "a"))
    monkeypatch.undo()
    assert ids(backend) == [1]
