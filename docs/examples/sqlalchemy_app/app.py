"""A plain WSGI application with SQLAlchemy's pools, guarded.

Two engines on one database, so that each lane has connections of its own: reads must go on
while writes wait for each other.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool

from guard import Lane
from guard.assembly import assemble
from guard.gunicorn import current_worker
from guard.settings import load
from guard.tally import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

URL = os.environ.get("DATABASE_URL", "sqlite:////tmp/guard-example.sqlite")


def engine_of(size: int) -> Engine:
    """Return an engine with exactly so many connections: the guard counts on them."""
    engine = create_engine(URL, poolclass=QueuePool, pool_size=size, max_overflow=0)
    event.listen(engine, "connect", _add_sleep)
    return engine


def _add_sleep(connection: Any, _record: object) -> None:  # noqa: ANN401 - any driver's
    # SQLite has no pg_sleep; a query that takes its time is what an overload is made of.
    connection.create_function("sleep", 1, time.sleep)  # noqa: TID251 - in the database's place


class App:
    """``GET /report?seconds=0.5`` asks the database for that long; ``POST /note`` stores a row."""

    def __init__(self, reads: Engine, writes: Engine) -> None:
        self._reads = reads
        self._writes = writes
        with writes.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS notes (at REAL)"))

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        route = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        handle = {"GET /report": self._report, "POST /note": self._note}.get(route)
        if handle is None:
            start("404 Not Found", [("Content-Length", "0")])
            return []
        environ[ROUTE_KEY] = environ["PATH_INFO"]
        body = json.dumps(handle(environ)).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _report(self, environ: dict[str, Any]) -> dict[str, int]:
        seconds = float(parse_qs(environ["QUERY_STRING"]).get("seconds", ["0"])[0])
        with self._reads.connect() as connection:
            connection.execute(text("SELECT sleep(:seconds)"), {"seconds": seconds})
            return {"notes": connection.execute(text("SELECT count(*) FROM notes")).scalar_one()}

    def _note(self, _environ: dict[str, Any]) -> dict[str, bool]:
        with self._writes.begin() as connection:
            connection.execute(text("INSERT INTO notes VALUES (julianday())"))
        return {"stored": True}


def create_app() -> Callable[..., Iterable[bytes]]:
    """Return the guarded application. Called in each gunicorn worker, after the fork."""
    worker = current_worker()
    settings = load().settings if worker is None else worker.settings
    reads, writes = engine_of(settings.read_pool_size), engine_of(settings.write_pool_size)
    if worker is None:
        assembly = assemble(settings, classify=classify)
    else:
        assembly = assemble(
            settings, recorder=worker.recorder, queues=worker.queues, classify=classify
        )
    assembly.watch_pool(reads, Lane.READ)
    assembly.watch_pool(writes, Lane.WRITE)
    guard = assembly.wrap(App(reads, writes))
    if worker is not None:
        worker.gate = guard
        worker.on_drain(assembly.drain)
        worker.on_exit(assembly.close)
    return guard


def classify(environ: dict[str, Any]) -> Lane | None:
    """Return the request's lane; what is no route needs no database."""
    return {"/report": Lane.READ, "/note": Lane.WRITE}.get(environ["PATH_INFO"])
