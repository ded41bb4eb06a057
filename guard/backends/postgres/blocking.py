"""Asks PostgreSQL whom this process' waiting connections wait for."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from guard.backends.waits import Blocker, LockWait

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from guard.core.vocabulary import Lane

WAITS_MAX: Final = 20
"""Most waits that are looked into, the longest first: each look holds the lock table still."""
QUERY_MAX: Final = 200
"""Characters of a statement that are shown."""

# Who waits for a row waits for its holder's transaction, and is known to want that table by the
# lock that it holds on the row meanwhile.
_BLOCKED: Final = """
WITH waiting AS (
  SELECT DISTINCT ON (pid) pid, locktype, mode, relation,
         coalesce(extract(epoch FROM clock_timestamp() - waitstart), 0)::float8 AS waited_s
  FROM pg_catalog.pg_locks
  WHERE NOT granted AND pid = ANY(%(pids)s) ORDER BY pid, waitstart
), longest AS (
  SELECT * FROM waiting ORDER BY waited_s DESC LIMIT %(most)s
), sessions AS (
  SELECT pid, coalesce(application_name, '') AS name, coalesce(state, '') AS state,
         coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS age_s,
         CASE WHEN %(queries)s THEN left(coalesce(query, ''), %(length)s) ELSE '' END AS query
  FROM pg_catalog.pg_stat_activity
)
SELECT w.pid, w.waited_s, w.locktype || ' ' || w.mode,
       coalesce((coalesce(w.relation, (
         SELECT t.relation FROM pg_catalog.pg_locks t
         WHERE t.pid = w.pid AND t.locktype = 'tuple' LIMIT 1)))::regclass::text, ''),
       coalesce(s.name, ''), coalesce(s.state, ''), coalesce(s.query, ''),
       b.pid, coalesce(bs.name, ''), coalesce(bs.state, ''),
       coalesce(bs.age_s, 0)::float8, coalesce(bs.query, '')
FROM longest w
LEFT JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(w.pid)) AS pid) b ON true
LEFT JOIN sessions s ON s.pid = w.pid
LEFT JOIN sessions bs ON bs.pid = b.pid
ORDER BY w.waited_s DESC, w.pid, b.pid
"""
_WAIT_COLUMNS: Final = 7


def lock_waits(
    connection: psycopg.Connection[Any], lanes: Mapping[int, Lane], *, show_queries: bool
) -> tuple[LockWait, ...]:
    """Return the waits of this moment, the longest first, at most ``WAITS_MAX``.

    Args:
        connection: any connection to the server.
        lanes: the lane of each connection that may wait, by its process id.
        show_queries: whether the texts of statements may be told.

    Raises:
        psycopg.Error: the server does not answer.
    """
    asked = {
        "pids": list(lanes), "most": WAITS_MAX, "queries": show_queries, "length": QUERY_MAX,
    }  # fmt: skip
    rows = connection.execute(_BLOCKED, asked).fetchall()
    found = []
    for waiter, group in groupby(rows, key=lambda row: row[:_WAIT_COLUMNS]):
        pid, waited_s, lock, relation, name, state, query = waiter
        blockers = tuple(Blocker(*row[_WAIT_COLUMNS:]) for row in group if row[7] is not None)
        found.append(
            LockWait(lanes[pid], 1, waited_s, lock, relation, pid, name, state, query, blockers)
        )
    return tuple(found)
