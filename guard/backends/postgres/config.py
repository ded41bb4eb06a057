"""What a PostgreSQL backend is made from, and the connection strings that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from guard.backends.base import Bounds
from guard.backends.postgres.hosts import PRIMARY, Place, one_by_one
from guard.core.vocabulary import Lane

IDLE_IN_TRANSACTION_S: Final = 60
_DRIVER_CONNECT_MIN_S: Final = 2
_KEEPALIVES: Final = 3
_BOUNDS: Final = Bounds(wait_s=1.0, run_s=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresConfig:
    """The values that a PostgreSQL backend needs. Immutable.

    Attributes:
        write_url: the primary, ``postgresql://user:password@host:port/name``.
        read_url: another host for the read lane; empty takes ``write_url``.
        read_pool_size: read connections, >= 1.
        write_pool_size: write connections, >= 1.
        statement_timeout_s: a statement that runs longer is cancelled, seconds, > 0.
        connect_timeout_s: longest time for a new connection, seconds; the driver takes whole
            seconds, at least 2.
        probe_timeout_s: how long a server may take to answer at all, seconds, > 0. While a lane
            has no connection, one that does not is not asked for a lasting one.
        tcp_keepalive_s: after this long without a byte the peer is asked whether it lives, three
            times; whole seconds are taken, at least 1. A network that swallows everything is
            noticed so on a connection that nobody uses.
        tcp_user_timeout_s: a connection ends when what was sent is not acknowledged for this
            long, seconds, > 0. A frozen server's host still acknowledges: see ``Watchdog``.
        result_rows_max: most rows that one statement may return at once.
        lock_sample_s: how often lock waits are sampled, seconds, > 0.
        show_queries: whether the texts of statements may be told where locks are waited for.
        pooled: whether a pooler in transaction mode (PgBouncer) is between: then nothing is set
            for a session, since the next transaction may run in another one.
        pooler_url: the pooler's admin console, of which its queue is asked; empty asks nobody.
        pooler_wait_s: a wait in that queue that is no harm, seconds, > 0.
        replica_lag_max_s: the hosts of ``read_url`` are replicas, and one that is further behind
            is not read from, seconds; 0 watches nobody and leaves the choice to the driver.
        replica_wait_s: how long a read that must see a write waits for a replica before it goes
            to the primary, seconds, >= 0.
        bounds: the bounds of a call that gives none.
    """

    write_url: str = field(repr=False)
    read_url: str = field(default="", repr=False)
    read_pool_size: int = 4
    write_pool_size: int = 4
    statement_timeout_s: float = 5.0
    connect_timeout_s: float = 2.0
    probe_timeout_s: float = 0.5
    tcp_keepalive_s: float = 5.0
    tcp_user_timeout_s: float = 10.0
    result_rows_max: int = 10_000
    lock_sample_s: float = 0.2
    show_queries: bool = False
    pooled: bool = False
    pooler_url: str = field(default="", repr=False)
    pooler_wait_s: float = 0.1
    replica_lag_max_s: float = 0.0
    replica_wait_s: float = 0.1
    bounds: Bounds = _BOUNDS

    def size(self, lane: Lane) -> int:
        """Return how many connections the lane's pool is asked for."""
        return self.read_pool_size if lane is Lane.READ else self.write_pool_size

    def url(self, lane: Lane) -> str:
        """Return where the lane connects to."""
        return self.write_url if lane is Lane.WRITE else self.read_url or self.write_url

    def conninfo(self, lane: Lane) -> str:
        """Return the lane's connection string; what the URL itself says wins.

        Raises:
            psycopg.ProgrammingError: the URL can't be parsed.
        """
        # Of several hosts, and after a fail-over, the one that takes writes.
        return self._string(lane, self.url(lane), "read-write" if lane is Lane.WRITE else "")

    def places(self, lane: Lane) -> list[Place]:
        """Return where the lane's connections may lead, in the order in which to try.

        The hosts of the write lane are tried by us: the driver would wait for a frozen one until
        nobody waits for it any more. Those of the read lane by the driver, as the URL says.
        """
        conninfo = self.conninfo(lane)
        found = one_by_one(conninfo)
        if lane is Lane.READ or self.pooled or len(found) == 1:
            return [Place("", conninfo)]
        return found

    def replicas(self) -> list[Place]:
        """Return the hosts that are watched and read from; none where replicas are off."""
        return one_by_one(self.conninfo(Lane.READ)) if self.replica_lag_max_s > 0 else []

    def fallback(self) -> list[Place]:
        """Return where to read where no replica may be read from: the primary, of several hosts."""
        # Not "read-write", which a session that is read-only by default does not pass.
        return [
            Place(PRIMARY, place.conninfo)
            for place in one_by_one(self._string(Lane.READ, self.write_url, "primary"))
        ]

    def _string(self, lane: Lane, url: str, target: str) -> str:
        given = {name: text for name, text in conninfo_to_dict(url).items() if text is not None}
        values: dict[str, str | int] = {
            "connect_timeout": max(_DRIVER_CONNECT_MIN_S, math.ceil(self.connect_timeout_s)),
            "keepalives_idle": math.ceil(self.tcp_keepalive_s),
            "keepalives_interval": math.ceil(self.tcp_keepalive_s),
            "keepalives_count": _KEEPALIVES,
            "tcp_user_timeout": milliseconds(self.tcp_user_timeout_s),
            "fallback_application_name": f"guard-{lane}",
        }
        if self.pooled:
            # A pooler refuses ``options``, and chooses the host itself.
            return make_conninfo("", **{**values, **given})
        if target:
            values["target_session_attrs"] = target
        values.update(given)
        values["options"] = f"{given.get('options', '')} {self._options(lane)}".strip()
        return make_conninfo("", **values)

    def _options(self, lane: Lane) -> str:
        session = {
            "statement_timeout": milliseconds(self.statement_timeout_s),
            # A worker that stops in the middle of a transaction must not keep its locks.
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
        }
        if lane is Lane.READ:
            # The driver's own read_only flag does nothing in autocommit.
            session["default_transaction_read_only"] = "on"
        return " ".join(f"-c {name}={value}" for name, value in session.items())


def milliseconds(seconds: float) -> str:
    """Return a time-out as PostgreSQL takes it: whole milliseconds, 0 for none at all."""
    return "0" if math.isinf(seconds) else str(max(1, math.ceil(seconds * 1000)))
