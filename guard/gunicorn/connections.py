"""Whether PostgreSQL has room for all the pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import BackendFailed

if TYPE_CHECKING:
    from guard.settings import Settings

_EXTRA: Final = 2
"""Connections of a worker beside its pools: the lock sampler's and a probe's."""


class Verdict(NamedTuple):
    """What is wrong; empty texts where nothing is.

    Attributes:
        refuse: the service can't work like this.
        warn: it can, but something will go wrong.
    """

    refuse: str = ""
    warn: str = ""


def postgres_room(settings: Settings) -> Verdict:
    """Compare the connections that all workers want with what the server allows.

    Waits up to ``connect_timeout_s`` for a server that does not answer; that is only a warning,
    since a service must come up while its database is away.
    """
    from guard.backends.postgres.capacity import connections_allowed

    try:
        allowed = connections_allowed(settings.database_url, settings.connect_timeout_s)
    except BackendFailed as error:
        return Verdict(warn=f"the database does not answer yet, starting without it: {error}")
    return compare(settings, allowed)


def compare(settings: Settings, allowed: int) -> Verdict:
    """Compare the connections that all workers want with ``allowed``, the server's limit."""
    pools = settings.write_pool_size
    if not settings.database_read_url:
        pools += settings.read_pool_size
    wanted = settings.workers * (pools + _EXTRA)
    sum_up = (
        f"{settings.workers} workers x ({pools} pool connections + {_EXTRA}) = {wanted}, "
        f"and PostgreSQL allows {allowed}"
    )
    if wanted > allowed:
        return Verdict(refuse=f"{sum_up}: lower GUARD_WORKERS or the pool sizes")
    if 2 * wanted > allowed:
        return Verdict(
            warn=f"{sum_up}: a reload needs twice as many for a moment, and its new workers "
            "will wait for the old ones to end"
        )
    return Verdict()
