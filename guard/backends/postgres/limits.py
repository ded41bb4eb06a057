"""How many connections a server lets us have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import psycopg

from guard.core.sizing import ServerLimits
from guard.errors import BackendFailed
from guard.settings.masking import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ServerLimits", "server_limits"]

# ``reserved_connections`` came with PostgreSQL 16; -1 is no limit of the role or the database.
_ASK: Final = """
SELECT current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),
  (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database())
"""
_DRIVER_CONNECT_MIN_S: Final = 2


def server_limits(url: str, timeout_s: float) -> ServerLimits:
    """Ask the server what it allows, on a connection of its own.

    Args:
        url: where to ask.
        timeout_s: longest time to connect to each host, seconds; the driver takes whole
            seconds, at least 2.

    Raises:
        BackendFailed: the server can't be reached or doesn't answer; one line without any
            password.
    """
    wait_s = max(_DRIVER_CONNECT_MIN_S, math.ceil(timeout_s))
    try:
        with psycopg.connect(url, connect_timeout=wait_s, autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = {wait_s * 1000}")
            row = connection.execute(_ASK).fetchone()
    except psycopg.Error as error:
        text = " ".join(scrub(str(error), url).split())
        # Not "from error": its text may show the password.
        raise BackendFailed(text or type(error).__name__) from None
    if row is None:
        raise BackendFailed("the server does not tell its max_connections")
    return ServerLimits(row[0], row[1], _lowest(row[2:]))


def _lowest(caps: Iterable[int | None]) -> int | None:
    return min((cap for cap in caps if cap is not None and cap >= 0), default=None)
