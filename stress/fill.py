"""Warriors that are there before a run."""

from __future__ import annotations

from service.migrations import migrate
from stress import search_scale
from stress.verify import open_database


def fill(url: str, count: int) -> None:
    """Bring an empty database's schema up to date and store ``count`` seeded warriors.

    Nothing else may have a DuckDB file open meanwhile.

    Args:
        url: a ``GUARD_DATABASE_URL``.
        count: how many, >= 1.

    Raises:
        TimeoutError: the database did not open.
    """
    assembly = open_database(url, migrate)
    try:
        search_scale.fill(assembly.database, count)
    finally:
        assembly.close()
