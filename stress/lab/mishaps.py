"""What can go wrong, or be done, in the middle of a scenario."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from psycopg import connect

from stress.disturbance import Breakage
from stress.lab.slow_clients import SlowClients

if TYPE_CHECKING:
    from psycopg import Connection

    from stress.lab.description import World


def lock_writes(made: World) -> Breakage:
    """Lock the table of warriors against writes, as a migration or a hasty operator does."""
    held: list[Connection[Any]] = []

    def begin() -> None:
        held.append(connect(made.where.url))
        held[0].execute("LOCK TABLE warriors IN SHARE MODE")

    def end() -> None:
        held[0].close()

    return Breakage(begin, end)


def reload(made: World) -> Breakage:
    """Reload the service by SIGHUP; the mishap's length is only how long that is looked at."""
    return Breakage(lambda: made.server.signal(signal.SIGHUP), _nothing)


def absence(made: World) -> Breakage:
    """Start the service at the mishap's end, which is when it is ready."""

    def end() -> None:
        made.server.__enter__()

    return Breakage(_nothing, end)


def slow_clients(kind: str, made: World) -> Breakage:
    """Surround the service with clients that hardly read or write.

    Args:
        kind: one of ``stress.lab.slow_clients.KINDS``.
        made: the service.
    """
    clients = SlowClients(made.server.target, kind)
    return Breakage(clients.start, clients.stop)


def _nothing() -> None:
    pass
