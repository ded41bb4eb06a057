"""Asks PgBouncer's admin console who waits for a connection to the database."""

from __future__ import annotations

import logging
from functools import partial
from math import inf
from threading import Condition
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from guard.backends.postgres.errors import one_line
from guard.backends.postgres.watching import Line, Watching
from guard.core.pooler import PoolerQueue, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.backends.postgres.watchdog import Watchdog
    from guard.clock import Clock
    from guard.core.vocabulary import Lane

PERIOD_S: Final = 0.2
"""Time between two looks."""
_RETRY_S: Final = 1.0
_ANSWER_S: Final = 1.0
_MICROSECONDS: Final = 1e6

log = logging.getLogger("guard.postgres")

Queues = dict["Lane", PoolerQueue]


class PoolKey(NamedTuple):
    """By what the pooler tells its pools apart."""

    database: str
    user: str


def pool_key(url: str) -> PoolKey:
    """Return which of the pooler's pools a connection string leads to."""
    given = conninfo_to_dict(url)
    user = str(given.get("user") or "")
    return PoolKey(str(given.get("dbname") or user), user)


class PoolerSampler(Watching):
    """A thread with a connection of its own that looks five times a second (0.2 ms each).

    While the console can't be asked it says so once, tells of no queue and tries each second.

    Args:
        url: the admin console, the database ``pgbouncer``.
        pools: to which of its pools each lane's connections lead.
        told: hears each lane's pool at each look, in the thread of the sampler.
        watchdog: ends a look at a frozen pooler.
        clock: tells when.

    Attributes:
        queue: all those pools together, as they were last seen.
    """

    def __init__(
        self,
        url: str,
        pools: Mapping[Lane, PoolKey],
        told: Callable[[Queues], None],
        watchdog: Watchdog,
        clock: Clock,
    ) -> None:
        self.queue = PoolerQueue()
        self._pools = dict(pools)
        self._told = told
        self._clock = clock
        self._changed = Condition()
        # Guarded by _changed: a time after which transactions ended while others waited.
        self._served_s = -inf
        self._looked_s = -inf
        self._ended_us = 0
        self._lost = False
        line = Line(partial(_connect, url), _ANSWER_S, watchdog, clock)
        super().__init__("guard-postgres-pooler", line, self._look, self._forget)

    def serves_since(self, since_s: float, wait_s: float) -> bool:
        """Return whether transactions ended after a time, while others waited for their turn.

        The pooler is full then, and the database behind it at work. Waits for the next looks.

        Args:
            since_s: in the clock's time.
            wait_s: the longest wait, seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._served_s >= since_s, wait_s)

    def _look(self) -> float:
        pools = self._ask("SHOW POOLS")
        wanted = set(self._pools.values())
        found = {key: _queue(row) for row in pools if (key := _key(row)) in wanted}
        self.queue = joined(list(found.values()))
        # Their number counts those that begin; their time grows at each one's end.
        ended_us = sum(
            int(row["total_xact_time"])
            for row in self._ask("SHOW STATS")
            if row["database"] in {key.database for key in wanted}
        )
        self._progressed(ended_us)
        self._told({lane: found.get(key, PoolerQueue()) for lane, key in self._pools.items()})
        self._lost = False
        return PERIOD_S

    def _progressed(self, ended_us: int) -> None:
        with self._changed:
            if self.queue.waiting and ended_us > self._ended_us:
                self._served_s = self._looked_s
                self._changed.notify_all()
        self._ended_us, self._looked_s = ended_us, self._clock.now_s()

    def _ask(self, command: str) -> list[dict[str, Any]]:
        return self._line.ask(lambda console: _rows(console.execute(command)))

    def _forget(self, error: Exception) -> float:
        if not self._lost:
            self._lost = True
            log.warning("the pooler's queue can't be asked for: %s", one_line(error))
        self.queue = PoolerQueue()
        self._told(dict.fromkeys(self._pools, self.queue))
        return _RETRY_S


def _connect(url: str) -> psycopg.Connection[Any]:
    console = make_conninfo(url, connect_timeout=2, fallback_application_name="guard-pooler")
    # The console speaks the simple protocol only, in which nothing is prepared.
    return psycopg.connect(console, autocommit=True, prepare_threshold=None)


def _rows(cursor: psycopg.Cursor[Any]) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _key(row: Mapping[str, Any]) -> PoolKey:
    return PoolKey(row["database"], row["user"])


def _queue(row: Mapping[str, Any]) -> PoolerQueue:
    oldest_s = row["maxwait"] + row["maxwait_us"] / _MICROSECONDS
    # Between two clients a connection may be looked over for a moment.
    idle = row["sv_idle"] + row["sv_used"] + row["sv_tested"]
    return PoolerQueue(row["cl_waiting"], oldest_s, row["sv_active"], idle)
