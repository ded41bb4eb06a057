"""A database that is far away, with small pools: its connections run out before the cores do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.proxy import Fault, Proxy, Quality
from stress.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from stress.scenario import Place

WORKERS: Final = 2
_POOLS: Final = {
    "GUARD_WORKERS": str(WORKERS), "GUARD_READ_POOL_SIZE": "2", "GUARD_WRITE_POOL_SIZE": "2",
}  # fmt: skip


def far(where: Place, round_trip_s: float, stack: ExitStack) -> Mapping[str, str]:
    """Put the database farther away; return the settings for that, and for small pools.

    Args:
        where: the database.
        round_trip_s: how far, seconds, > 0.
        stack: ends what stands between.

    Raises:
        ServerError: the database has no server that could be far away.
    """
    server = where.postgres
    if server is None:
        raise ServerError("only PostgreSQL can be far away")
    proxy = stack.enter_context(Proxy(server.port, Quality(round_trip_s / 2)))
    proxy.set(Fault.DELAY)
    url = where.url.replace(f":{server.port}/", f":{proxy.port}/")
    return {"GUARD_DATABASE_URL": url, **_POOLS}
