"""How many connections the server lets us have."""

from __future__ import annotations

import math
from typing import Final

import psycopg

from guard.errors import BackendFailed

# Three limits at once: the server's, less what it keeps for others, the role's, the database's;
# -1 is none. ``reserved_connections`` came with PostgreSQL 16.
_ASK: Final = """
SELECT current_setting('max_connections')::int
     - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),
  (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database())
"""
_DRIVER_CONNECT_MIN_S: Final = 2


def connections_allowed(url: str, timeout_s: float) -> int:
    """Return how many connections an ordinary role can have at the server, all together.

    Args:
        url: where to ask.
        timeout_s: longest time to connect; the driver takes whole seconds, at least 2.

    Raises:
        BackendFailed: the server can't be reached, or answers nothing useful.
    """
    wait_s = max(_DRIVER_CONNECT_MIN_S, math.ceil(timeout_s))
    options = f"-c statement_timeout={wait_s}s"
    try:
        with psycopg.connect(url, connect_timeout=wait_s, options=options) as connection:
            row = connection.execute(_ASK).fetchone()
    except psycopg.Error as error:
        raise BackendFailed(" ".join(str(error).split())) from error
    limits = [int(limit) for limit in row or () if limit is not None and limit >= 0]
    if not limits:
        raise BackendFailed("the server does not tell its max_connections")
    return min(limits)
