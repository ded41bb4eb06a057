"""Samples how long this process' connections wait for locks.

PostgreSQL tells no past lock waits, so the waits of the moment are looked at several times a
second and integrated: waiters x the time since the last look. Whom they wait for is asked less
often, and only while somebody waits.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import psycopg

from guard.backends.postgres.blocking import lock_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.backends.postgres.watchdog import Watchdog
    from guard.backends.waits import LockWait
    from guard.clock import Clock
    from guard.core.vocabulary import Lane
    from guard.events import PoolObserver

T = TypeVar("T")

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


class Sampled(NamedTuple):
    """What the sampler needs to know of a lane.

    Attributes:
        in_use: connections given out; with none nobody waits for a lock.
        pids: the server's process ids of the lane's connections.
    """

    in_use: int
    pids: list[int]


class LockSampler:
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
        self._conninfo = conninfo
        self._period_s = period_s
        self._lanes = lanes
        self._observer = observer
        self._watchdog = watchdog
        self._clock = clock
        self._show_queries = show_queries
        self.waits: tuple[LockWait, ...] = ()
        self._asked_s = 0.0
        self._stop = Event()
        self._waiting: set[Lane] = set()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = Thread(target=self._run, name="guard-postgres-locks", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread, after at most ``timeout_s``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        before_s = self._clock.now_s()
        pause_s = self._period_s
        while not self._stop.wait(pause_s):
            now_s = self._clock.now_s()
            try:
                self._look(min(now_s - before_s, _GAP_MAX * self._period_s))
                pause_s = self._period_s
            except psycopg.Error:
                self._forget()
                pause_s = max(_RETRY_S, self._period_s)
            before_s = now_s
        self._forget()

    def _look(self, elapsed_s: float) -> None:
        lanes = self._lanes()
        if not any(lane.in_use for lane in lanes.values()):
            self._all_quiet()
            return
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
            self.waits = self._ask(
                lambda server: lock_waits(server, lane_of, show_queries=self._show_queries)
            )

    def _ages(self, pids: list[int]) -> dict[int, float]:
        return self._ask(lambda server: dict(server.execute(_SAMPLE, (pids,)).fetchall()))

    def _ask(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._conninfo, autocommit=True, application_name="guard-locks"
            )
        deadline_s = self._clock.now_s() + _ANSWER_S
        watch = self._watchdog.arm(self._connection.pgconn.socket, deadline_s)
        try:
            return question(self._connection)
        finally:
            self._watchdog.disarm(watch)

    def _all_quiet(self) -> None:
        for lane in self._waiting:
            self._observer.locks_sampled(lane, 0, 0.0, 0.0)
        self._waiting.clear()
        self.waits = ()

    def _forget(self) -> None:
        self._all_quiet()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
