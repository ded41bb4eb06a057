"""PostgreSQL behind the backend protocol: a read-only and a read-write pool in each process."""

from __future__ import annotations

import logging
import math
import os
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Final, TypeVar

from guard.backends.base import Bounds
from guard.backends.postgres.borrowed import BorrowedSession
from guard.backends.postgres.errors import judge
from guard.backends.postgres.keeper import Keeper
from guard.backends.postgres.locks import LockSampler, Sampled
from guard.backends.postgres.opening import LOOK_S, Opening
from guard.backends.postgres.pooler import PERIOD_S, PoolerSampler, pool_key
from guard.backends.postgres.pools import LanePool
from guard.backends.postgres.probe import NoAnswer, probe_any
from guard.backends.postgres.replicas import Fleet
from guard.backends.postgres.sessions import Limits, PostgresSession, insert_sql
from guard.backends.postgres.watchdog import Watchdog
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendBusy, BackendClosed, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guard.backends.base import Insert, PoolSignals, Row, Session, StreamSession
    from guard.backends.postgres.config import PostgresConfig
    from guard.backends.waits import LockWait
    from guard.clock import Clock
    from guard.core.pooler import PoolerQueue
    from guard.events import PoolObserver
    from guard.request import Mark

T = TypeVar("T")

GRACE_S: Final = 0.5
"""How long past its deadline a unit may wait for the server's own time-out before it is cut.

A server that is merely busy must be able to answer within it: a time-out says nothing about
health, a cut connection counts as a failure.
"""

_LOOKS_S: Final = 3 * PERIOD_S
# Any fixed number: it names the lock that lets one process at a time prepare the database.
_PREPARE_LOCK: Final = 0x6775617264


class PostgresBackend:
    """Implements ``Backend`` for PostgreSQL; see there. Thread-safe.

    Make and open it after the fork: connections can't be shared by processes, and a forked
    copy refuses to work.

    Args:
        config: where to connect and all bounds.
        observer: hears of waits, statements and errors.
        clock: measures them.

    Attributes:
        fleet: watches the replicas; None where there are none.
    """

    def __init__(self, config: PostgresConfig, observer: PoolObserver, clock: Clock) -> None:
        self._config = config
        self._observer = observer
        self._clock = clock
        self._lost = Event()
        self._ready = Event()
        self._lock = Lock()
        # Guarded by _lock.
        self._pid = 0
        self._closed = False
        self._opening: Opening | None = None
        self._watchdog = Watchdog(clock)
        self.fleet = self._new_fleet()
        fleets = {Lane.READ: self.fleet, Lane.WRITE: None}
        self._pools = {
            lane: LanePool(lane, config, observer, clock, self._lost, fleets[lane]) for lane in Lane
        }
        self._keeper = Keeper(self._pools.values(), self._lost)
        self._sampler = LockSampler(
            config.conninfo(Lane.WRITE), config.lock_sample_s, self._sampled,
            observer, self._watchdog, clock, show_queries=config.show_queries,
        )  # fmt: skip
        keys = {lane: pool_key(config.url(lane)) for lane in Lane}
        self._pooler = PoolerSampler(
            config.pooler_url, keys, self._look_behind, self._watchdog, clock
        )

    def open(self, prepare: Callable[[Session], None] | None = None) -> None:
        """Start to open in the background; see ``Backend.open``.

        Where several processes open the same database, one at a time runs ``prepare``.

        Raises:
            BackendClosed: it was closed before, or opened in another process.
        """
        with self._lock:
            if self._closed or self._pid not in (0, os.getpid()):
                raise BackendClosed("a backend opens once, in one process")
            if self._pid:
                return
            self._pid = os.getpid()
            opening = self._opening = Opening(
                tuple(self._pools.values()), self._config.connect_timeout_s,
                None if prepare is None else partial(self._prepare, prepare),
                self._opened, self._clock,
            )  # fmt: skip
        _quieten_driver()
        self._watchdog.start()
        if self.fleet is not None:
            self.fleet.start()
        for pool in self._pools.values():
            pool.open()
        self._keeper.start()
        if not self._config.pooled:
            self._sampler.start()
        if self._config.pooler_url:
            self._pooler.start()
        opening.start()

    @property
    def ready(self) -> bool:
        """Whether the backend is open and prepared."""
        return self._ready.is_set()

    @property
    def opening_error(self) -> str:
        """Why the last attempt to open failed, one line; empty while there was none."""
        return self._opening.error if self._opening is not None else ""

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready, at most ``timeout_s``; return whether it is."""
        return self._ready.wait(timeout_s)

    def read(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` on a read-only connection; see ``Backend.read``.

        Each statement is a read-only transaction of its own. Where a replica dies under it, the
        unit is run once more, on another server, in what is left of its time.
        """
        bounds, called_s = bounds or self._config.bounds, self._clock.now_s()
        try:
            with self._reading(bounds) as session:
                return unit(session)
        except BackendFailed:
            rest = self._rest(bounds, called_s)
            # With no time left a second run would only say so, and hide the failure.
            if self.fleet is None or rest.within_s <= 0:
                raise
        with self._reading(rest) as session:
            return unit(session)

    @contextmanager
    def stream(self, bounds: Bounds | None = None) -> Iterator[StreamSession]:
        """Hold one read-only transaction over the block; see ``Backend.stream``."""
        with self._reading(bounds or self._config.bounds) as session:
            session.begin(read_only=True)
            yield session

    def write(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` in a transaction; see ``Backend.write``.

        Raises:
            BackendFailed: unreachable; where it was lost at the commit, the message says that
                the outcome is unknown.
        """
        self._check_open()
        return self._write(unit, bounds or self._config.bounds, self._config.statement_timeout_s)

    def insert(self, insert: Insert, row: Row, bounds: Bounds | None = None) -> None:
        """Insert one row with a commit of its own; see ``Backend.insert``."""
        self._check_open()
        bounds = bounds or self._config.bounds
        with self._turn(Lane.WRITE, bounds) as session:
            session.insert(insert_sql(insert), row)
            self._move(bounds.mark, session)

    def signals(self, lane: Lane) -> PoolSignals:
        """Return the lane's pool at this moment; its size is 0 while there is no connection."""
        return self._pools[lane].signals()

    def limit(self, lane: Lane, most: int) -> None:
        """Lend at most ``most`` of the lane's connections at once; see ``Backend.limit``."""
        self._pools[lane].limit(most)

    def lock_waits(self) -> tuple[LockWait, ...]:
        """Return who of this process waits for a lock, and whom for; see ``Backend``.

        Behind a pooler nobody: it does not tell which of the server's sessions are ours.
        """
        return self._sampler.waits

    def classify(self, error: BaseException) -> Outcome:
        """Return what an exception says about health."""
        return judge(error).outcome

    def probe(self, lane: Lane, timeout_s: float) -> None:
        """Ask the lane's host on a connection of its own; see ``Backend.probe``.

        Of several hosts each has ``timeout_s``, and one that answers is enough. A probe that a
        full pooler keeps waiting says nothing as long as others are served.
        """
        asked_s = self._clock.now_s()
        conninfos = [place.conninfo for place in self._pools[lane].places()]
        try:
            probe_any(conninfos, lane, timeout_s, self._clock)
        except NoAnswer:
            asks = bool(self._config.pooler_url)
            if not (asks and self._pooler.serves_since(asked_s, _LOOKS_S)):
                raise

    def pooler_queue(self) -> PoolerQueue | None:
        """Return what waits in the pooler, as last seen; None where nobody looks."""
        return self._pooler.queue if self._config.pooler_url else None

    def close(self, timeout_s: float = 5.0) -> None:
        """Let running units end, cut those that last too long, close. Idempotent."""
        with self._lock:
            # A forked copy owns none of the threads and connections.
            alive = self._pid == os.getpid() and not self._closed
            self._closed = True
        self._ready.clear()
        opening = self._opening
        if opening is not None:
            opening.give_up()
        if not alive:
            return
        for pool in self._pools.values():
            pool.stop_admitting()
        self._drain(timeout_s)
        self._sampler.stop(1.0)
        self._pooler.stop(1.0)
        self._keeper.stop(1.0)
        if self.fleet is not None:
            self.fleet.stop(1.0)
        for pool in self._pools.values():
            pool.close(timeout_s)
        self._watchdog.stop()
        if opening is not None:
            opening.join(1.0)

    def _drain(self, timeout_s: float) -> None:
        deadline_s = self._clock.now_s() + timeout_s
        pause = Event()
        while any(pool.in_use for pool in self._pools.values()):
            if self._clock.now_s() >= deadline_s:
                self._watchdog.cut_all()
                return
            pause.wait(LOOK_S)

    def _check_open(self) -> None:
        if not self._ready.is_set() or self._pid != os.getpid():
            raise BackendClosed(self._why_closed())

    def _why_closed(self) -> str:
        if self._pid not in (0, os.getpid()):
            return "the database was opened in another process; open it after the fork"
        if self._closed:
            return "the database is closed"
        return f"the database is not open yet: {self.opening_error or 'opening'}"

    @contextmanager
    def _reading(self, bounds: Bounds) -> Iterator[PostgresSession]:
        self._check_open()
        called_s = self._clock.now_s()
        with self._turn(Lane.READ, bounds) as session:
            if self.fleet is None or self.fleet.sees(session, bounds.mark):
                yield session
                return
        with self._on_primary(self._rest(bounds, called_s)) as session:
            yield session

    def _rest(self, bounds: Bounds, called_s: float) -> Bounds:
        left_s = bounds.within_s - (self._clock.now_s() - called_s)
        return bounds._replace(wait_s=min(bounds.wait_s, left_s), within_s=left_s)

    @contextmanager
    def _on_primary(self, bounds: Bounds) -> Iterator[PostgresSession]:
        try:
            with self._turn(Lane.WRITE, bounds, reads=True) as session:
                yield session
        except BackendFailed as error:
            # Nothing is wrong with the read lane, which only has not come so far.
            text = f"no replica has the write yet, and the primary can't be asked: {error}"
            raise BackendBusy(text) from error

    def _move(self, mark: Mark | None, session: PostgresSession) -> None:
        if mark is not None and self.fleet is not None:
            mark.move(session.position())

    @contextmanager
    def _turn(
        self, lane: Lane, bounds: Bounds, timeout_s: float | None = None, *, reads: bool = False
    ) -> Iterator[PostgresSession]:
        pool = self._pools[lane]
        called_s = self._clock.now_s()
        held = pool.take(bounds.wait_s, newest_first=bounds.newest_first)
        started_s = self._clock.now_s()
        deadline_s = min(started_s + bounds.run_s, called_s + bounds.within_s)
        limits = Limits(
            deadline_s,
            self._config.statement_timeout_s if timeout_s is None else timeout_s,
            self._config.result_rows_max,
        )
        watch = self._watchdog.arm(held.pgconn.socket, deadline_s + GRACE_S, held.place)
        kind = BorrowedSession if self._config.pooled or reads else PostgresSession
        asks = Lane.READ if reads else lane
        session = kind(asks, held, watch, limits, self._observer, self._clock)
        outcome = Outcome.OK
        try:
            yield session
        except BaseException as error:
            outcome = self.classify(error)
            raise
        finally:
            session.end()
            cut = self._watchdog.disarm(watch)
            pool.give(held, broken=cut or session.dirty)
            if session.fenced:
                pool.drain()
            self._observer.released(lane, self._clock.now_s() - started_s, outcome)

    def _write(self, unit: Callable[[Session], T], bounds: Bounds, timeout_s: float) -> T:
        with self._turn(Lane.WRITE, bounds, timeout_s) as session:
            session.begin()
            result = unit(session)
            session.commit()
            self._move(bounds.mark, session)
            return result

    def _sampled(self) -> dict[Lane, Sampled]:
        # Another host of the read lane has locks of its own; only the primary's are sampled.
        same = self._config.read_url in {"", self._config.write_url}
        return {
            lane: Sampled(pool.in_use, pool.pids)
            for lane, pool in self._pools.items()
            if same or lane is Lane.WRITE
        }

    def _new_fleet(self) -> Fleet | None:
        config, replicas = self._config, self._config.replicas()
        if not replicas:
            return None
        return Fleet(
            replicas, config.conninfo(Lane.WRITE), config.replica_lag_max_s,
            (config.probe_timeout_s, config.replica_wait_s), self._watchdog, self._clock,
        )  # fmt: skip

    def _look_behind(self, queues: Mapping[Lane, PoolerQueue]) -> None:
        for lane, pool in self._pools.items():
            pool.look_behind(queues[lane], self._config.pooler_wait_s)

    def _opened(self) -> None:
        with self._lock:
            if not self._closed:
                self._ready.set()

    def _prepare(self, prepare: Callable[[Session], None]) -> None:
        def unit(session: Session) -> None:
            session.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARE_LOCK,))
            prepare(session)

        # No time-out: a migration of a large table takes as long as it takes.
        self._write(unit, Bounds(self._config.connect_timeout_s, math.inf), math.inf)


def _quieten_driver() -> None:
    # The pool warns at each attempt to connect, several times a second while a server is
    # away; the keeper tells each change once.
    driver = logging.getLogger("psycopg.pool")
    if driver.level == logging.NOTSET:
        driver.setLevel(logging.ERROR)
