"""Fixtures for DuckDB's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from guard.backends.base import Bounds
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from backend_cases import Heard

    from guard.backends.base import Session


def _tables(session: Session) -> None:
    session.execute(
        "CREATE TABLE IF NOT EXISTS items (id integer PRIMARY KEY, name varchar NOT NULL)"
    )
    session.execute("CREATE TABLE IF NOT EXISTS loose (value double, note varchar)")


@pytest.fixture
def make(duckdb_path: Path, heard: Heard) -> Iterator[Callable[..., DuckDBBackend]]:
    """Makes open backends on the test's file; all are closed afterwards."""
    made: list[DuckDBBackend] = []

    def build(*, opened: bool = True, **options: object) -> DuckDBBackend:
        values: dict[str, Any] = {"path": duckdb_path, "bounds": Bounds(20.0, 20.0), **options}
        backend = DuckDBBackend(DuckDBConfig(**values), heard, MonotonicClock())
        made.append(backend)
        if opened:
            backend.open(_tables)
            assert backend.wait_ready(20), backend.opening_error
        return backend

    yield build
    for backend in made:
        backend.close(5.0)


@pytest.fixture
def backend(make: Callable[..., DuckDBBackend]) -> DuckDBBackend:
    """An open backend with 2 readers and the tables ``items`` (with a key) and ``loose``."""
    return make()
