"""Samples how long this process' connections wait for locks.

PostgreSQL tells no past lock waits, so the waits of the moment are looked at several times a
second and integrated: waiters x the time since the last look. Whom they wait for is asked less
often, and only while somebody waits.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg

from guard.backends.postgres.blocking import lock_waits
from guard.backends.postgres.errors import one_line
from guard.backends.postgres.watching import Line, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.backends.postgres.watchdog import Watchdog
    from guard.backends.waits import LockWait
    from guard.clock import Clock
    from guard.core.vocabulary import Lane
    from guard.events import PoolObserver

# An ordinary role sees all of pg_locks, while pg_stat_activity hides others' sessions.
# waitstart is set a moment after the wait began.
_SAMPLE: Final = """
SELECT pid, coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8
FROM pg_catalog.pg_locks WHERE NOT granted AND pid = ANY(%s) GROUP BY pid
"""
_ANSWER_S: Final = 1.0
_RETRY_S: Final = 1.0
_GAP_MAX: Final = 3.0
_BLOCKING_S: Final = 1.0

log = logging.getLogger("guard.postgres")


class Sampled(NamedTuple):
    """What the sampler needs to know of a lane.

    Attributes:
        in_use: connections given out; with none nobody waits for a lock.
        pids: the server's process ids of the lane's connections.
    """

    in_use: int
    pids: list[int]


class LockSampler(Watching):
    """A thread with a connection of its own that looks every ``period_s``.

    While the server is away it keeps quiet and tries again each second.

    Args:
        conninfo: the server to ask.
        period_s: time between samples, seconds, > 0.
        lanes: tells the lanes' connections at this moment.
        observer: hears the samples.
        watchdog: ends a look at a frozen server.
        clock: measures the time between samples.
        show_queries: whether ``waits`` may hold the texts of statements.

    Attributes:
        waits: who waits and whom for, at most a second old; replaced whole.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own
        self,
        conninfo: str,
        period_s: float,
        lanes: Callable[[], Mapping[Lane, Sampled]],
        observer: PoolObserver,
        watchdog: Watchdog,
        clock: Clock,
        *,
        show_queries: bool = False,
    ) -> None:
        self._period_s = period_s
        self._lanes = lanes
        self._observer = observer
        self._clock = clock
        self._show_queries = show_queries
        self.waits: tuple[LockWait, ...] = ()
        self._looked_s = clock.now_s()
        self._asked_s = 0.0
        self._waiting: set[Lane] = set()
        line = Line(partial(_connect, conninfo), _ANSWER_S, watchdog, clock)
        super().__init__("guard-postgres-locks", line, self._look, self._forget)

    def stop(self, timeout_s: float) -> None:
        """End the thread, after at most ``timeout_s``; from then on nobody is said to wait."""
        super().stop(timeout_s)
        self._all_quiet()

    def _look(self) -> float:
        now_s = self._clock.now_s()
        elapsed_s = min(now_s - self._looked_s, _GAP_MAX * self._period_s)
        self._looked_s = now_s
        lanes = self._lanes()
        if any(lane.in_use for lane in lanes.values()):
            self._sample(lanes, elapsed_s)
        else:
            self._all_quiet()
        return self._period_s

    def _sample(self, lanes: Mapping[Lane, Sampled], elapsed_s: float) -> None:
        lane_of = {pid: lane for lane, known in lanes.items() for pid in known.pids}
        ages = self._ages(list(lane_of))
        self._look_whom_for(lane_of, waiting=bool(ages))
        for lane, known in lanes.items():
            waits = [ages[pid] for pid in known.pids if pid in ages]
            if waits or lane in self._waiting:
                oldest_s = max(waits, default=0.0)
                self._observer.locks_sampled(lane, len(waits), oldest_s, len(waits) * elapsed_s)
            (self._waiting.add if waits else self._waiting.discard)(lane)

    def _look_whom_for(self, lane_of: Mapping[int, Lane], *, waiting: bool) -> None:
        now_s = self._clock.now_s()
        if not waiting:
            self.waits = ()
        elif not self.waits or now_s - self._asked_s >= _BLOCKING_S:
            self._asked_s = now_s
            self.waits = self._line.ask(
                lambda server: lock_waits(server, lane_of, show_queries=self._show_queries)
            )

    def _ages(self, pids: list[int]) -> dict[int, float]:
        return self._line.ask(lambda server: dict(server.execute(_SAMPLE, (pids,)).fetchall()))

    def _all_quiet(self) -> None:
        for lane in self._waiting:
            self._observer.locks_sampled(lane, 0, 0.0, 0.0)
        self._waiting.clear()
        self.waits = ()

    def _forget(self, error: Exception) -> float:
        self._all_quiet()
        if not isinstance(error, psycopg.Error):
            log.warning("the waits for locks can't be looked at: %s", one_line(error))
        return max(_RETRY_S, self._period_s)


def _connect(conninfo: str) -> psycopg.Connection[Any]:
    return psycopg.connect(conninfo, autocommit=True, application_name="guard-locks")
