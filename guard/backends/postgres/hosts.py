"""The servers that a connection string names, each with a string of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRIMARY: Final = "primary"
"""The name of the place that is read from while no replica may be."""
POSITION: Final = """
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
  ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::bigint
"""
"""Asks a server how much of the log it has."""

_LISTS: Final = ("host", "hostaddr", "port")
_PORT: Final = "5432"


class Place(NamedTuple):
    """A server to connect to.

    Attributes:
        name: ``host:port``, or ``PRIMARY``; empty where there is but one.
        conninfo: how.
    """

    name: str
    conninfo: str


def one_by_one(conninfo: str) -> list[Place]:
    """Return each host, in their order, named ``host:port``.

    The driver tries the hosts of one string one after the other, each for at least two seconds,
    and says nothing of which it took; with a string for each both is in our hand.

    Raises:
        psycopg.ProgrammingError: it can't be parsed.
    """
    given = conninfo_to_dict(conninfo)
    given.pop("load_balance_hosts", None)
    lists = {name: str(given[name]).split(",") for name in _LISTS if given.get(name)}
    count = max((len(values) for values in lists.values()), default=1)
    found = []
    for index in range(count):
        own = {
            name: values[index] if len(values) > 1 else values[0] for name, values in lists.items()
        }
        place = own.get("host") or own.get("hostaddr") or "localhost"
        name = f"{place}:{own.get('port') or _PORT}"
        found.append(Place(name, make_conninfo("", **{**given, **own})))
    return found


def is_crowded(name: str, held: Mapping[str, int], allowed: Iterable[str]) -> bool:
    """Return whether a place has so many connections that one of them should lead elsewhere.

    One more than another place has can't be spread any better.

    Args:
        name: the place.
        held: the pool's connections by place.
        allowed: the places that they may lead to, at least one.
    """
    return held.get(name, 0) > 1 + min(held.get(place, 0) for place in allowed)
