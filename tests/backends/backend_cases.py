"""The backends that must keep the contract, and what differs between their dialects."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.backends.postgres import PostgresBackend, PostgresConfig
from guard.clock import MonotonicClock
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from guard.backends.base import Backend, Session
    from guard.core.vocabulary import Outcome
    from guard.events import PoolObserver

BOUNDS = Bounds(20.0, 20.0)
ITEMS = Insert("items", ("id", "name", "tags"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a test may ask of a backend."""

    size: int = 2
    statement_timeout_s: float = 20.0
    result_rows_max: int = 100
    bounds: Bounds = BOUNDS


@dataclass(frozen=True)
class BackendCase:
    """One backend under test.

    Attributes:
        make: returns a backend on an empty database, not opened.
        make_broken: returns a backend whose database can't be reached.
        create: makes the table of ``ITEMS``.
        slow: a query that runs for minutes.
        numbers: a query with one parameter, n; returns 0 to n - 1.
        place: the placeholder.
    """

    make: Callable[[PoolObserver, Options], Backend]
    make_broken: Callable[[PoolObserver, Options], Backend]
    create: str
    slow: str
    numbers: str
    place: str

    def sql(self, text: str) -> str:
        """Return ``text`` with the dialect's placeholders instead of ``?``."""
        return text.replace("?", self.place)


def duckdb_case(request: pytest.FixtureRequest) -> BackendCase:
    path = request.getfixturevalue("duckdb_path")

    def make_at(where: object) -> Callable[[PoolObserver, Options], Backend]:
        def make(observer: PoolObserver, options: Options) -> Backend:
            config = DuckDBConfig(
                path=str(where),
                readers=options.size,
                statement_timeout_s=options.statement_timeout_s,
                result_rows_max=options.result_rows_max,
                bounds=options.bounds,
            )
            return DuckDBBackend(config, observer, MonotonicClock())

        return make

    return BackendCase(
        make=make_at(path),
        make_broken=make_at(path.parent / "missing" / "x.duckdb"),
        create="CREATE TABLE items (id integer PRIMARY KEY, name varchar NOT NULL, tags varchar[])",
        slow="SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b",
        numbers="SELECT range FROM range(?)",
        place="?",
    )


def postgres_case(request: pytest.FixtureRequest) -> BackendCase:
    url = request.getfixturevalue("postgres_url")

    def make_at(where: str) -> Callable[[PoolObserver, Options], Backend]:
        def make(observer: PoolObserver, options: Options) -> Backend:
            config = PostgresConfig(
                write_url=where,
                read_pool_size=options.size,
                write_pool_size=options.size,
                statement_timeout_s=options.statement_timeout_s,
                result_rows_max=options.result_rows_max,
                bounds=options.bounds,
            )
            return PostgresBackend(config, observer, MonotonicClock())

        return make

    return BackendCase(
        make=make_at(url),
        make_broken=make_at("postgresql://nobody@127.0.0.1:1/none"),
        create="CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, tags text[])",
        slow="SELECT pg_sleep(300)",
        numbers="SELECT n FROM generate_series(0, %s - 1) n",
        place="%s",
    )


CASES = {"duckdb": duckdb_case, "postgres": postgres_case}
"""Every backend that must keep the contract: its name, and what makes its case."""


@dataclass
class Heard:
    """A PoolObserver that keeps what it heard."""

    acquires: list[tuple[Lane, float, bool]] = field(default_factory=list)
    releases: list[tuple[Lane, float, Outcome]] = field(default_factory=list)
    queries: list[tuple[Lane, float, Outcome]] = field(default_factory=list)
    failures: list[tuple[Lane, str]] = field(default_factory=list)
    disconnects: list[Lane] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    lock_waits: list[tuple[Lane, float]] = field(default_factory=list)

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        self.acquires.append((lane, waited_s, got))

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        self.releases.append((lane, held_s, outcome))

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        self.queries.append((lane, took_s, outcome))

    def failed(self, lane: Lane, kind: str) -> None:
        self.failures.append((lane, kind))

    def disconnected(self, lane: Lane) -> None:
        self.disconnects.append(lane)

    def batched(self, size: int) -> None:
        self.batches.append(size)

    def lock_waited(self, lane: Lane, waited_s: float) -> None:
        self.lock_waits.append((lane, waited_s))

    def locks_sampled(self, lane: Lane, waiters: int, oldest_s: float, waited_s: float) -> None:
        """PostgreSQL's samples; their number depends on how long a test takes."""


class OwnError(Exception):
    """An application's own."""


def ids(backend: Backend) -> list[int]:
    """Return the ids in the table of ``ITEMS``."""
    return [row[0] for row in backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))]


@contextmanager
def held(
    backend: Backend, lane: Lane, eventually: Callable[[Callable[[], object]], None]
) -> Iterator[threading.Event]:
    """All of a lane's connections in use until the event is set, at the latest at the end."""
    free = threading.Event()
    run: Callable[[Callable[[Session], Any]], Any] = (
        backend.read if lane is Lane.READ else backend.write
    )
    size = backend.signals(lane).size_max
    with ThreadPoolExecutor(size) as threads:
        try:
            holders = [threads.submit(run, lambda _: free.wait(60)) for _ in range(size)]
            eventually(lambda: backend.signals(lane).in_use == size)
            yield free
        finally:
            free.set()
        for holder in holders:
            assert holder.result(20)
