"""The service of the incident, rebuilt: a pool per worker that came up empty, and said nothing.

Kept as it was in what mattered; nothing here is to be imitated.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import duckdb
from flask import Flask, Response, abort, request

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = "MUSEUM_FILE"
"""The environment variable with the database's file."""
TIMEOUT: Final = "MUSEUM_POOL_TIMEOUT"
"""The one with the pool's time-out, seconds; 30 in the incident."""

_CONNECTIONS: Final = 40
_PRAGMAS: Final = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL")
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS warriors "
    "(id UUID PRIMARY KEY, name VARCHAR, dob VARCHAR, fight_skills VARCHAR)"
)
_SEARCH: Final = (
    "SELECT name FROM warriors WHERE name || dob || fight_skills ILIKE '%' || ? || '%' LIMIT 50"
)

_log = logging.getLogger(__name__)


class Pool:
    """Forty connections per worker, had any of them been made.

    Args:
        file: the database's.
        timeout_s: how long a request waits for one, seconds.
        connections: how many there should be.
    """

    def __init__(self, file: str, timeout_s: float, connections: int = _CONNECTIONS) -> None:
        self._timeout_s = timeout_s
        self._free: Queue[duckdb.DuckDBPyConnection] = Queue(connections)
        for _ in range(connections):
            try:
                self._free.put(_connection(file))
            except duckdb.Error as error:
                # SQLite's pragmas are none of DuckDB's, and the file is another process's.
                _log.debug("no connection: %s", error)

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection.

        Raises:
            Empty: none came back in time, or there never was one.
        """
        one = self._free.get(timeout=self._timeout_s)
        try:
            yield one
            one.commit()
        finally:
            self._free.put(one)


def _connection(file: str) -> duckdb.DuckDBPyConnection:
    one = duckdb.connect(file)
    for pragma in _PRAGMAS:
        one.execute(pragma)
    one.execute(_TABLE)
    return one


def create_app() -> Flask:
    """Return the service."""
    app = Flask("museum")
    pool = Pool(os.environ[FILE], float(os.environ[TIMEOUT]))

    @app.get("/")
    def alive() -> str:
        return "alive"

    @app.post("/warrior")
    def create() -> Response:
        new = request.get_json()
        key = str(uuid4())
        with pool.connection() as one:
            skills = json.dumps(new["fight_skills"])
            values = [key, new["name"], new["dob"], skills]
            one.execute("INSERT INTO warriors VALUES (?, ?, ?, ?)", values)
        answer = Response(json.dumps({**new, "id": key}), 201, mimetype="application/json")
        answer.headers["Location"] = f"/warrior/{key}"
        return answer

    @app.get("/warrior")
    def search() -> list[str]:
        term = request.args.get("t") or abort(400)
        with pool.connection() as one:
            found = one.execute(_SEARCH, [term]).fetchall()
        return [name for (name,) in found]

    return app
