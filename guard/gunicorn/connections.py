"""Whether PostgreSQL has room for all the pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.core import sizing
from guard.errors import BackendFailed
from guard.settings.check import sizing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.sizing import ServerLimits
    from guard.settings import Settings

    AskServer = Callable[[str, float], ServerLimits]


class Verdict(NamedTuple):
    """What is wrong; empty texts where nothing is.

    Attributes:
        refuse: the service can't work like this.
        warn: it can, but something will go wrong.
    """

    refuse: str = ""
    warn: str = ""


def postgres_room(settings: Settings, ask: AskServer | None = None) -> Verdict:
    """Compare the connections that all workers want with what the server allows.

    Waits up to ``connect_timeout_s`` for a server that does not answer; that is only a warning,
    since a service must come up while its database is away. So is a server with room for the
    workers but not for a reload, in which two generations of them overlap. Behind PgBouncer
    the server is not asked: how many connections it gets is PgBouncer's to decide.

    Args:
        settings: the settings.
        ask: returns what a server allows; by default the server itself is asked.
    """
    if settings.pgbouncer:
        return Verdict()
    try:
        limits = (ask or _ask)(settings.database_url, settings.connect_timeout_s)
    except BackendFailed as error:
        return Verdict(warn=f"the database does not answer, starting without it: {error}")
    sizes = sizing_of(settings)
    # Where no replica may be read from, the read pool is at the primary too.
    with_reads = not settings.database_read_url or settings.replica_lag_max_s > 0
    problem = sizing.connections_problem(sizes, limits, with_reads=with_reads)
    if sizing.connections_wanted(sizes, with_reads=with_reads) > limits.usable:
        return Verdict(refuse=problem)
    return Verdict(warn=problem)


def _ask(url: str, timeout_s: float) -> ServerLimits:
    from guard.backends.postgres.limits import server_limits

    return server_limits(url, timeout_s)
