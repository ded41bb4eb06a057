"""A pool's connection: it tells when it can't be made, and whether it still lives."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable


class PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows the session's time-out, and tells when it can't be made.

    Attributes:
        timeout_s: the session's statement time-out.
    """

    timeout_s: float = 0.0

    @classmethod
    def connect(  # type: ignore[override]  # a keyword that only the pool gives
        cls,
        conninfo: str = "",
        *,
        knock: Callable[[], None] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
        **options: Any,  # noqa: ANN401 -- the driver's own
    ) -> Self:
        """Connect as the driver does, after ``knock``; ``on_failure`` hears why it can't."""
        try:
            if knock is not None:
                knock()
            return super().connect(conninfo, **options)
        except psycopg.Error as error:
            if on_failure is not None:
                on_failure(error)
            raise


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
