"""The thread that looks at the board each second and keeps 15 minutes of what it saw."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.clock import MonotonicClock, wall_s
from guard.status.document import document, history
from guard.status.events import Events
from guard.status.frames import Frame, Span, frame
from guard.status.points import point
from guard.status.seen import WINDOW_S, Seen
from guard.status.text import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from guard.board import Refusal, WorkerView
    from guard.clock import Clock
    from guard.events import MetricSource
    from guard.settings.load import Loaded
    from guard.status.points import Point

    class Source(MetricSource, Protocol):
        """What a board tells."""

        def workers(self) -> list[WorkerView]:
            """Return each worker with its own gauges."""
            ...

        def refusals(self, most: int = 100) -> Sequence[Refusal]:
            """Return the newest refusals, the newest first."""
            ...


PERIOD_S: Final = 1.0
_KEPT: Final = int(WINDOW_S / PERIOD_S) + 1

log = logging.getLogger("guard.status")


class _Rendered(NamedTuple):
    sequence: int
    body: dict[str, Any]
    text: str


class Keeper:
    """Keeps the last 15 minutes, in bounded memory, and answers what /status asks.

    Once a second ``look`` takes a frame of the board. One thread looks; everything else is
    thread-safe and takes no lock, so that a process that forks may use it.

    Args:
        source: the board.
        loaded: gives the settings in force.
        totals: gives the totals where there is more than the board's; the board where None.
        lock_waits: gives who waits for a lock, as ``LockWait.document`` says it.
        clock: the monotonic clock that the workers use too.
        wall: the wall time in seconds.
        version: Guard's version, for people.
    """

    def __init__(  # noqa: PLR0913 - all but two are optional seams
        self,
        source: Source,
        loaded: Callable[[], Loaded],
        *,
        totals: MetricSource | None = None,
        lock_waits: Callable[[], Sequence[dict[str, Any]]] = tuple,
        clock: Clock | None = None,
        wall: Callable[[], float] = wall_s,
        version: str = "",
    ) -> None:
        self._source = source
        self._totals: MetricSource = totals or source
        self._lock_waits = lock_waits
        self._loaded = loaded
        self._clock = clock or MonotonicClock()
        self._wall = wall
        self._version = version
        self._boot = os.urandom(4).hex()
        self._sequence = 0
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._points: deque[Point] = deque(maxlen=_KEPT)
        self._since_s: dict[int, float] = {}
        self._events = Events()
        self._closing = Flag()
        self._rendered: _Rendered | None = None
        self._seen = self._first_look()

    def start(self) -> None:
        """Look once a second from now on, in a thread that ends with the process."""
        Thread(target=self._run, name="guard-status", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._closing.set()

    def reloaded(self) -> None:
        """Hear that the settings were read anew."""
        self._events.reloaded(self._clock.now_s())

    def look(self) -> None:
        """Take a frame of the board."""
        now_s = self._clock.now_s()
        new = frame(now_s, self._totals.collect())
        workers = self._source.workers()
        old = self._frames[-1] if self._frames else new
        self._events.look(Span(old, new), workers)
        self._since_s = {one.pid: self._since_s.get(one.pid, now_s) for one in workers}
        self._sequence += 1
        self._frames.append(new)
        self._points.append(point(self._sequence, list(self._frames)[-12:]))
        # One store of one immutable value: whoever answers meanwhile has the old one whole.
        self._seen = self._now(workers)

    def etag(self, after: int) -> str:
        """Return what changes whenever ``json(after)`` does."""
        return f'"{self._boot}-{self._seen.sequence}-{after}"'

    def json(self, after: int = 0) -> bytes:
        """Return the status document.

        Args:
            after: the charts' points with a greater sequence number are in it.
        """
        seen = self._seen
        body = self._render(seen).body | {"history": history(seen, after)}
        return json.dumps(body, separators=(",", ":")).encode() + b"\n"

    def text(self) -> str:
        """Return the same for a terminal."""
        return self._render(self._seen).text

    def _render(self, seen: Seen) -> _Rendered:
        # Two threads may both render; the worst that costs is the time.
        known = self._rendered
        if known is None or known.sequence != seen.sequence:
            body = document(seen)
            known = self._rendered = _Rendered(seen.sequence, body, text(body))
        return known

    def _first_look(self) -> Seen:
        self.look()
        return self._seen

    def _now(self, workers: Sequence[WorkerView]) -> Seen:
        return Seen(
            boot=self._boot,
            sequence=self._sequence,
            unix_s=self._wall(),
            frames=tuple(self._frames),
            points=tuple(self._points),
            workers=tuple(workers),
            since_s=self._since_s,
            refusals=tuple(self._source.refusals()),
            lock_waits=tuple(self._lock_waits()),
            events=tuple(self._events.latest()),
            loaded=self._loaded(),
            version=self._version,
        )

    def _run(self) -> None:
        due_s = self._clock.now_s() + PERIOD_S
        while not self._closing.wait(max(0.0, due_s - self._clock.now_s())):
            # After a pause of the process the missed seconds are not made up for.
            due_s = max(due_s + PERIOD_S, self._clock.now_s())
            try:
                self.look()
            except Exception:
                log.exception("the board could not be looked at")
