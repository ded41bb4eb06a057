"""A pool's connection: it tells when it can't be made, and whether it still lives."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg

from guard.backends.postgres.hosts import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows the session's time-out, and tells when it can't be made.

    Attributes:
        timeout_s: the session's statement time-out.
        place: the name of the server that it leads to; empty where there is but one.
    """

    timeout_s: float = 0.0
    place: str = ""

    @classmethod
    def connect(  # type: ignore[override]  # keywords that only the pool gives
        cls,
        conninfo: str = "",
        *,
        places: Callable[[], Iterable[Place]] | None = None,
        knock: Callable[[str], None] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
        **options: Any,  # noqa: ANN401 -- the driver's own
    ) -> Self:
        """Connect to the first of ``places`` where it works, to each after ``knock``.

        Where it works nowhere, ``on_failure`` hears why.
        """
        failure: psycopg.Error | None = None
        for place in places() if places is not None else (Place("", conninfo),):
            try:
                if knock is not None:
                    knock(place.conninfo)
                made = super().connect(place.conninfo, **options)
            except psycopg.Error as error:
                failure = error
            else:
                made.place = place.name
                return made
        failure = failure or psycopg.OperationalError("there is no server to connect to")
        if on_failure is not None:
            on_failure(failure)
        raise failure


def is_quiet(idle: PooledConnection) -> bool:
    """Return whether an idle connection is alive, without asking the server (about 1 us).

    The server sends nothing to an idle session but its end, or a changed setting; after
    either the connection is better replaced.
    """
    if idle.closed:
        return False
    poll = select.poll()
    with suppress(OSError, psycopg.Error):
        poll.register(idle.pgconn.socket, select.POLLIN)
        return not poll.poll(0)
    return False
