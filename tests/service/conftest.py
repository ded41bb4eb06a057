"""The service's store on both databases, and the whole application on DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from service_client import Service, wait_ready

from guard.assembly import assemble
from guard.settings import load
from service.migrations import migrate
from service.store import Warriors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.database import Database


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "duckdb":
        return f"duckdb:///{request.getfixturevalue('duckdb_path')}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database; the guard in front of it sheds nothing."""
    settings = load({"GUARD_DATABASE_URL": database_url, "GUARD_MODE": "off"}).settings
    assembly = assemble(settings, prepare=migrate)
    try:
        wait_ready(assembly)
        yield assembly.database
    finally:
        assembly.close()


@pytest.fixture
def warriors(database: Database) -> Warriors:
    """The store on that database."""
    return Warriors(database)


@pytest.fixture
def service(duckdb_path: Path) -> Iterator[Service]:
    """The whole application on DuckDB, empty and ready."""
    found = Service(f"duckdb:///{duckdb_path}")
    try:
        wait_ready(found.assembly)
        yield found
    finally:
        found.assembly.close()
