"""Watches the replicas of the read lane: who may be read from, and how far each has come."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from itertools import count
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final

import psycopg

from guard.backends.postgres.errors import one_line
from guard.backends.postgres.hosts import POSITION, PRIMARY, Place
from guard.backends.postgres.watching import Line, Watching
from guard.core.replicas import LogClock, Replica, Seen, end_of_log, look
from guard.request import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.backends.postgres.sessions import PostgresSession
    from guard.backends.postgres.watchdog import Watchdog
    from guard.clock import Clock
    from guard.request import Mark

FRESH: Final = "fresh"
"""A read whose server had the write already."""
WAITED: Final = "waited"
"""One that waited for it; ``PRIMARY`` is one that went there."""

_LOOK: Final = f"""{POSITION}, CASE WHEN pg_is_in_recovery() THEN 0
  ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""
_PERIOD_S: Final = 0.2
_PAUSE_S: Final = 0.001
_PAUSE_MAX_S: Final = 0.01
_FALLBACK: Final = Place(PRIMARY, "")

log = logging.getLogger("guard.postgres")


class Fleet:
    """The replicas, each looked at five times a second in a thread of its own. Thread-safe.

    Args:
        replicas: them, at least one.
        primary: the connection string of where writes go.
        lag_max_s: a replica with a longer lag is not read from, seconds.
        waits_s: one that does not answer within the first of them is not read from either; and how
            long a read waits for a replica to have what it must see; seconds.
        watchdog: ends a look at a frozen server.
        clock: tells when.
    """

    def __init__(
        self,
        replicas: Sequence[Place],
        primary: str,
        lag_max_s: float,
        waits_s: tuple[float, float],
        watchdog: Watchdog,
        clock: Clock,
    ) -> None:
        self._places = {place.name: place for place in replicas}
        self._lag_max_s = lag_max_s
        self._answer_s, self._wait_s = waits_s
        self._watchdog = watchdog
        self._clock = clock
        self._looked = Event()
        self._turns = count()
        self._lock = Lock()
        # Guarded by _lock; the mapping is replaced, never changed, so that it can be read without.
        self._log = LogClock()
        self._known = dict.fromkeys(self._places, Replica())
        self._reads = Counter[str]()
        self._watching = [self._watch(*place) for place in (Place(PRIMARY, primary), *replicas)]

    def start(self) -> None:
        """Start to look."""
        for watching in self._watching:
            watching.start()

    def stop(self, timeout_s: float) -> None:
        """End the threads; waits for each at most ``timeout_s``."""
        for watching in self._watching:
            watching.stop(0.0)  # first all are told
        for watching in self._watching:
            watching.stop(timeout_s)

    @property
    def known(self) -> Mapping[str, Replica]:
        """What is known of each replica at this moment."""
        return self._known

    def allowed(self) -> list[str]:
        """Return the names of the places that may be read from; the primary where no other may."""
        found = [name for name, replica in self._known.items() if replica.in_rotation]
        return found or [PRIMARY]

    def is_silent(self, name: str) -> bool:
        """Return whether a place did not answer the last look at it."""
        replica = self._known.get(name)
        return replica is not None and replica.silent

    def place(self) -> Place:
        """Return where the next connection shall lead: to each that is allowed in its turn.

        Of the primary's it has only the name. The first caller waits for the first look at each,
        at most as long as one may take to answer.
        """
        self._looked.wait(self._answer_s)
        allowed = self.allowed()
        name = allowed[next(self._turns) % len(allowed)]
        return self._places.get(name, _FALLBACK)

    @property
    def reads(self) -> Mapping[str, int]:
        """How many reads had to see a write, by one of ``metrics.MARKED_READS``."""
        return dict(self._reads)

    def sees(self, session: PostgresSession, mark: Mark | None) -> bool:
        """Return whether the session's server has what the mark says, after a wait where needed."""
        if mark is None or not mark.position:
            return True
        outcome = FRESH
        if not self.has(session.place, mark.position):
            outcome = WAITED if self._catches_up(session, mark.position) else PRIMARY
        with self._lock:
            self._reads[outcome] += 1
        return outcome != PRIMARY

    def _catches_up(self, session: PostgresSession, position: int) -> bool:
        if position == UNKNOWN:
            return False
        pause, pause_s = Event(), _PAUSE_S
        until_s = self._clock.now_s() + self._wait_s
        while (found := session.position()) < position:
            left_s = until_s - self._clock.now_s()
            if left_s <= 0:
                return False
            pause.wait(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        return found != UNKNOWN

    def has(self, name: str, position: int) -> bool:
        """Return whether a place is known to have the log up to ``position``; asks nobody."""
        replica = self._known.get(name)
        return replica is None or replica.primary or replica.position >= position

    def _watch(self, name: str, conninfo: str) -> Watching:
        line = Line(partial(_connect, conninfo), self._answer_s, self._watchdog, self._clock)

        def look() -> float:
            self._tell(name, line.ask(_seen))
            return _PERIOD_S

        def missed(error: Exception) -> float:
            self._tell(name, None, one_line(error))
            return _PERIOD_S

        return Watching(f"guard-watch-{name}", line, look, missed)

    def _tell(self, name: str, seen: Seen | None, why: str = "") -> None:
        now_s = self._clock.now_s()
        with self._lock:
            if seen is not None and seen.timeline:
                self._log.tell(seen, now_s)
            if name == PRIMARY:
                return
            before = self._known[name]
            after = look(before, seen, self._log, self._lag_max_s, now_s)
            self._known = {**self._known, name: after}
            if all(replica.latch is not None for replica in self._known.values()):
                self._looked.set()
        if after.silent and not before.silent:
            # Who waits for its answer would wait for the whole statement time-out.
            self._watchdog.cut_place(name)
        if after.in_rotation != before.in_rotation:
            _log_change(name, after, why)


def _connect(conninfo: str) -> psycopg.Connection[Any]:
    return psycopg.connect(conninfo, autocommit=True, application_name="guard-watch")


def _seen(server: psycopg.Connection[Any]) -> Seen:
    row = server.execute(_LOOK).fetchone()
    return Seen(end_of_log(row[0]), row[1]) if row is not None else Seen(0)


def _log_change(name: str, after: Replica, why: str) -> None:
    if after.in_rotation:
        log.info("replica %s is read from", name)
    else:
        log.warning("replica %s is not read from: %s", name, why or f"{after.lag_s:.1f} s behind")
