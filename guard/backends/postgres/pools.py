"""A lane's connections: the driver's pool with our own exact admission in front of it."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from guard.backends.base import PoolSignals
from guard.backends.postgres.connection import PooledConnection, is_quiet
from guard.backends.postgres.errors import judge, one_line
from guard.backends.postgres.hosts import PRIMARY, is_crowded
from guard.backends.postgres.probe import NoAnswer, probe
from guard.backends.turns import Turns
from guard.core.pooler import allowed
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy, BackendClosed, BackendFailed

if TYPE_CHECKING:
    from threading import Event

    from guard.backends.postgres.config import PostgresConfig
    from guard.backends.postgres.hosts import Place
    from guard.backends.postgres.replicas import Fleet
    from guard.clock import Clock
    from guard.core.pooler import PoolerQueue
    from guard.events import PoolObserver

MOMENT_S: Final = 0.25
"""How long an outage may last before callers are refused without waiting for its end."""

_RECONNECT_S: Final = 0.05
_TASK_THREADS: Final = 3
_TAKE_S: Final = 0.001


class LanePool:
    """The connections of one lane. Thread-safe.

    At most as many callers as there are connections are let through to the driver's pool, so
    nobody waits in its queue except for a connection that is just being made anew.

    Args:
        lane: the lane.
        config: where to connect and how often.
        observer: hears waits and errors.
        clock: measures them.
        lost: is set whenever a connection is missing.
        fleet: tells where the connections may lead; None where the configuration does.
    """

    def __init__(
        self,
        lane: Lane,
        config: PostgresConfig,
        observer: PoolObserver,
        clock: Clock,
        lost: Event,
        fleet: Fleet | None = None,
    ) -> None:
        size = config.size(lane)
        self.lane = lane
        self.size_max = size
        self._timeout_s = config.statement_timeout_s
        self._config = config
        self._fleet = fleet
        # To find out which of several servers is there takes longer than one connection.
        self._moment_s = MOMENT_S if fleet is None else 4 * MOMENT_S
        self._knock_s = config.probe_timeout_s
        self._lost = lost
        self._observer = observer
        self._clock = clock
        self._turns = Turns(1)
        # What the adaptive limit and the pooler's queue leave.
        self._most = self._served = self.size_max
        self._lock = Lock()
        # Guarded by _lock; replaced, never changed, so that it can be read without.
        self._live: frozenset[PooledConnection] = frozenset()
        self._error: BaseException | None = None
        # Whether connections were lost and are not all back, and whether the last attempt to
        # make one was answered, with a refusal.
        self._losing = False
        self._refused = False
        self._may_move = 0  # the keeper's thread alone
        self._down_since_s: float | None = None
        self._pool = ConnectionPool(
            connection_class=PooledConnection,
            kwargs=self._options(),
            configure=self._connected,
            min_size=size,
            max_size=size,
            open=False,
            name=f"guard-{lane}",
            reconnect_timeout=_RECONNECT_S,
            num_workers=min(_TASK_THREADS, size),
        )

    def _options(self) -> dict[str, object]:
        options: dict[str, object] = {
            "autocommit": True, "places": self.places, "knock": self._knock,
            "on_failure": self._connect_failed,
        }  # fmt: skip
        if self._config.pooled:
            options["prepare_threshold"] = None  # the next transaction may be in another session
        return options

    def places(self) -> list[Place]:
        """Return where the next connection may lead, in the order in which to try."""
        if self._fleet is None:
            return self._config.places(self.lane)
        first = self._fleet.place()
        return [*([first] if first.name != PRIMARY else []), *self._config.fallback()]

    @property
    def live(self) -> int:
        """How many connections exist."""
        return len(self._live)

    @property
    def error(self) -> str:
        """Why the last attempt to connect failed; empty where it did not."""
        error = self._error
        return "" if error is None else one_line(error)

    @property
    def pids(self) -> list[int]:
        """The server's process ids of the connections that exist."""
        return [one.pgconn.backend_pid for one in self._live if not one.closed]

    @property
    def in_use(self) -> int:
        """How many connections are given out."""
        return self._turns.in_use

    def open(self) -> None:
        """Start to connect in the background; returns at once."""
        self._pool.open()

    def close(self, timeout_s: float) -> None:
        """Refuse new callers and close all idle connections, the others once given back."""
        self._turns.close()
        self._pool.close(timeout_s)
        self._recount()

    def stop_admitting(self) -> None:
        """Refuse all who wait or come; who has a connection keeps it."""
        self._turns.close()

    def signals(self) -> PoolSignals:
        """Return the pool at this moment."""
        size = len(self._live)
        turns = self._turns
        slots = min(size, self._most, self._served)
        return PoolSignals(size, self.size_max, turns.in_use, turns.waiting, slots)

    def limit(self, most: int) -> None:
        """Lend at most ``most`` connections at once; see ``Backend.limit``."""
        if most != self._most:
            self._most = most
            self._recount()

    def look_behind(self, queue: PoolerQueue, target_s: float) -> None:
        """Lend no more connections at once than the pooler behind them serves."""
        served = allowed(self._served, self.size_max, self.in_use, queue, target_s)
        if served != self._served:
            self._served = served
            self._recount()

    def take(self, wait_s: float, *, newest_first: bool = False) -> PooledConnection:
        """Return a working connection, to be given back with ``give``.

        Args:
            wait_s: the longest wait, seconds.
            newest_first: see ``Turns.enter``. Callers wait there and not in the driver's pool,
                which keeps those in its queue who gave up, and tells only whole milliseconds.

        Raises:
            BackendBusy: none came free within ``wait_s``.
            BackendFailed: there is none, and none could be made.
            BackendClosed: the pool is closed.
        """
        started_s = self._clock.now_s()
        try:
            if not self._turns.enter(wait_s, newest_first=newest_first):
                raise self._refusal()
            try:
                taken = self._fetch(started_s + wait_s)
            except BaseException:
                self._turns.leave()
                raise
        except (BackendBusy, BackendFailed) as error:
            self._observer.acquired(self.lane, self._clock.now_s() - started_s, got=False)
            self._observer.failed(self.lane, judge(error).kind)
            raise
        self._observer.acquired(self.lane, self._clock.now_s() - started_s, got=True)
        return taken

    def give(self, taken: PooledConnection, *, broken: bool) -> None:
        """Take a connection back; a broken one is closed and replaced."""
        try:
            if broken or self._left(taken):
                taken.close()
            self._pool.putconn(taken)
            if taken.closed:
                self._recount()
        finally:
            self._turns.leave()

    def _left(self, taken: PooledConnection) -> bool:
        # The fallback's are given up by the keeper alone, and of a replica that lags only as many
        # that the pool is not emptied: better a little late than refused.
        fleet = self._fleet
        if fleet is None or taken.place == PRIMARY:
            return False
        if fleet.is_silent(taken.place):
            return True
        return self.live > self.size_max // 2 and taken.place not in fleet.allowed()

    def drain(self) -> None:
        """Replace every connection: the idle ones now, the others when they are given back."""
        self._pool.drain()
        self._recount()

    def keep(self) -> bool:
        """Find idle connections that died, ask for those that are missing.

        Returns whether all connections exist. Never blocks for longer than a moment.
        """
        stats = self._pool.get_stats()
        # A pool that is emptied at once would have to refuse.
        self._may_move = max(1, self.live // 2)
        for _ in range(stats["pool_available"]):
            try:
                idle = self._pool.getconn(_TAKE_S)
            except (PoolTimeout, PoolClosed):
                break
            self._keep_one(idle)
        self._refill(self.size_max - stats["pool_size"])
        return self.live >= self.size_max

    def _keep_one(self, idle: PooledConnection) -> None:
        if not is_quiet(idle) or self._moves(idle):
            idle.close()
        self._pool.putconn(idle)
        if idle.closed:
            self._recount()

    def _moves(self, idle: PooledConnection) -> bool:
        if self._fleet is None or not self._may_move:
            return False
        allowed = self._fleet.allowed()
        if idle.place not in allowed:
            self._may_move -= 1
            return True
        # What is only unevenly spread has time: until all are there, and then for one at a look.
        held = Counter(one.place for one in self._live)
        if self.live < self.size_max or not is_crowded(idle.place, held, allowed):
            return False
        self._may_move = 0
        return True

    def _refill(self, missing: int) -> None:
        # The driver's pool gives a connection up after two attempts and then grows only when a
        # caller waits; here nobody does. While the server refuses, one attempt at a time. It may
        # not grow by itself as well: what it has then is added once more by the next resize.
        if missing > 0:
            held = self.size_max - missing
            wanted = self.size_max if self._error is None else held + 1
            self._pool.resize(held, max(held, 1))
            self._pool.resize(wanted, wanted)

    def _fetch(self, deadline_s: float) -> PooledConnection:
        while True:
            wait_s = deadline_s - self._clock.now_s()
            if self._down_since_s is not None:
                wait_s = min(wait_s, self._down_since_s + self._moment_s - self._clock.now_s())
                if wait_s <= 0:
                    raise self._failure() from self._error
            try:
                taken = self._pool.getconn(max(wait_s, _TAKE_S))
            except PoolClosed as error:
                raise BackendClosed("the database is closed") from error
            except PoolTimeout as error:
                if self.live:
                    raise self._refusal() from error
                raise self._failure() from self._error
            if is_quiet(taken) and not (self._fleet and self._fleet.is_silent(taken.place)):
                return taken
            # The server ended it while it was idle, or is frozen: another one, if there is one.
            taken.close()
            self._pool.putconn(taken)
            self._recount()

    def _refusal(self) -> BackendBusy | BackendClosed:
        if self._turns.closed:
            return BackendClosed("the database is closed")
        return BackendBusy(f"no {self.lane} connection came free in time")

    def _failure(self) -> BackendFailed:
        return BackendFailed(f"no {self.lane} connection: {self.error or 'it was lost'}")

    def _connected(self, made: PooledConnection) -> None:
        made.timeout_s = self._timeout_s
        self._error = None
        self._refused = False
        self._recount(made)

    def _knock(self, conninfo: str) -> None:
        # The driver waits two seconds at least for a server that takes connections and answers
        # none. Behind a network that swallows everything every attempt hangs for so long, and
        # the one under way when it is back would keep the lane away for as much longer. One
        # that refuses is heard at once, and is not to be asked twice.
        if not self._losing or self._refused:
            return
        try:
            probe(conninfo, Lane.READ, self._knock_s, self._clock)
        except NoAnswer as error:
            raise psycopg.OperationalError(str(error)) from error
        except BackendFailed:
            return  # the driver will get the same answer, and knows all of it

    def _connect_failed(self, error: BaseException) -> None:
        self._error = error
        self._refused = not isinstance(error.__cause__, NoAnswer) and not isinstance(
            error, psycopg.errors.ConnectionTimeout
        )
        self._recount()
        self._observer.failed(self.lane, judge(error).kind)
        down_since_s = self._down_since_s
        if down_since_s is not None and self._clock.now_s() >= down_since_s + self._moment_s:
            self._observer.disconnected(self.lane)

    def _recount(self, *made: PooledConnection) -> None:
        with self._lock:
            before = len(self._live)
            self._live = frozenset(one for one in (*self._live, *made) if not one.closed)
            size = len(self._live)
            self._losing = size < before or (self._losing and size < self.size_max)
            if size:
                self._down_since_s = None
            elif self._down_since_s is None:
                self._down_since_s = self._clock.now_s()
            # One caller must come through to find out that there is no connection.
            self._turns.resize(max(1, min(size, self._most, self._served)))
        if size < before:
            self._lost.set()
