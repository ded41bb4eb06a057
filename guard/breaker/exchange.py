"""How hosts tell each other of open breakers: on a board that all see, never on a request's path.

Each host decides by what it sees itself. What another host says only shortens the way: the news
that a breaker has opened opens a closed one here, once for each outage there, and this host then
probes for itself; the news that a database answers makes the probe of an open one due at once.
News ends by itself after ``NEWS_S``, unless its host repeats it. A bulletin that can't be reached
is nothing but silence.
"""

from __future__ import annotations

import logging
from collections import deque
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from guard import metrics
from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.breaker.lane import LaneBreaker
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

PERIOD_S: Final = 0.5
"""Time between two exchanges, seconds."""
NEWS_S: Final = 10.0
"""Time for which a host's word holds that is not repeated, seconds."""
OPENED: Final = "opened"
ANSWERED: Final = "answered"
_REMEMBERED: Final = 64

log = logging.getLogger("guard.breaker")


class News(NamedTuple):
    """One host's word about a lane.

    Attributes:
        word: ``OPENED`` or ``ANSWERED``.
        host: who says so.
        outage: his number of the outage.
    """

    word: str
    host: str
    outage: int


class Bulletin(Protocol):
    """Where hosts leave the last news of each lane; any error means that it is away."""

    def read(self, lane: Lane) -> News | None:
        """Return the last news that has not ended."""
        ...

    def put(self, lane: Lane, news: News, ends_s: float) -> None:
        """Leave news that ends after that many seconds."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Exchange:
    """Exchanges news in a thread of its own, in one worker of the host at a time.

    Args:
        breakers: the lanes' breakers.
        bulletin: where the news is left.
        host: this host's name.
        may_exchange: whether this worker is the one that does it.
        recorder: takes whether the bulletin could be reached.
    """

    def __init__(
        self,
        breakers: Mapping[Lane, LaneBreaker],
        bulletin: Bulletin,
        host: str,
        may_exchange: Callable[[], bool],
        recorder: Recorder,
    ) -> None:
        self._breakers = breakers
        self._bulletin = bulletin
        self._host = host
        self._may_exchange = may_exchange
        self._record = recorder
        self._heard: deque[tuple[Lane, News]] = deque(maxlen=_REMEMBERED)
        self._outages: dict[Lane, int] = {}
        self._up: bool | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="guard-exchange", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread; waits at most ``timeout_s``. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.wait(PERIOD_S):
                self.run_once()
        finally:
            self._bulletin.close()

    def run_once(self) -> None:
        """Hear and tell once; never raises."""
        if not self._may_exchange():
            return
        try:
            for lane, breaker in self._breakers.items():
                self._hear(lane, breaker)
                self._say(lane, breaker)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others can't be heard
            self._record.add(metrics.BREAKER_STORE_ERRORS)
            self._note(up=False, why=error)
        else:
            self._note(up=True)

    def _hear(self, lane: Lane, breaker: LaneBreaker) -> None:
        news = self._bulletin.read(lane)
        if news is None or news.host == self._host or (lane, news) in self._heard:
            return
        self._heard.append((lane, news))
        if news.word == OPENED:
            breaker.take_over()
        elif news.word == ANSWERED:
            breaker.hasten()

    def _say(self, lane: Lane, breaker: LaneBreaker) -> None:
        state = breaker.state
        answered = state.phase in {BreakerPhase.CLOSED, BreakerPhase.RECOVERING}
        outage = self._outages.get(lane, 0)
        if outage and (answered or state.outage != outage):
            self._bulletin.put(lane, News(ANSWERED, self._host, outage), NEWS_S)
            del self._outages[lane]
        if state.outage and not answered:
            # What was taken over is the other host's news, until it proves right here as well.
            if not state.taken_over:
                self._bulletin.put(lane, News(OPENED, self._host, state.outage), NEWS_S)
            self._outages[lane] = state.outage

    def _note(self, *, up: bool, why: Exception | None = None) -> None:
        self._record.set(metrics.BREAKER_STORE_UP, (), float(up))
        if up is not self._up:
            self._up = up
            if up:
                log.info("breakers are shared with other hosts over Redis")
            else:
                log.warning("Redis is away, this host's breakers decide alone: %s", why)
