"""Fixtures for every test: a real PostgreSQL server, a database file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hypothesis
import psycopg
import pytest
from programs import missing
from psycopg import sql

from service.demo_postgres import DemoServer, demo_server
from service.postgres_binaries import NoPostgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# How long an example takes tells of the machine's load, and of nothing else.
hypothesis.settings.register_profile("no-deadline", deadline=None)
# For `make mutation`: the same examples for every mutant, and a failure is not made any smaller.
hypothesis.settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
hypothesis.settings.load_profile("no-deadline")

UNMEASURED: Final = frozenset({"clients", "dashboards", "deploy", "examples", "page", "stress"})
"""Folders whose tests start whole services in order to test something else with them. Coverage in
those processes would make the run a fifth longer, and find no line that other tests don't."""

_numbers = count(1)

# No test restarts this server, so it need not survive one; the size suits many small pools.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "80",
    "autovacuum": "off",
}


@pytest.fixture(scope="module", autouse=True)
def _unmeasured_children(request: pytest.FixtureRequest) -> Iterator[None]:
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    with pytest.MonkeyPatch.context() as patch:
        if folder in UNMEASURED:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[Mapping[str, str]], DemoServer]]:
    """Starts PostgreSQL servers with given settings; all end with the run."""
    with ExitStack() as servers:

        def start(settings: Mapping[str, str]) -> DemoServer:
            try:
                return servers.enter_context(demo_server(settings=settings))
            except NoPostgres as error:
                missing(str(error))

        yield start


@pytest.fixture(scope="session")
def postgres_server(start_postgres: Callable[[Mapping[str, str]], DemoServer]) -> DemoServer:
    """One PostgreSQL server for the whole run; leave it as it is (no restart, no freezing)."""
    return start_postgres(_FAST)


@pytest.fixture
def postgres_url(postgres_server: DemoServer) -> Iterator[str]:
    """The URL of an empty database of the test's own; dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    base, _, _ = postgres_server.url.rpartition("/")
    yield f"{base}/{name}"
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def duckdb_path(tmp_path: Path) -> Path:
    """Where a DuckDB file may be made; there is none yet."""
    return tmp_path / "test.duckdb"
