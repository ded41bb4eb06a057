"""All parts of a guarded worker, put together from settings: the one place that does it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from guard import metrics
from guard.board import Board, WorkerRow
from guard.book import AppointmentBook
from guard.building import backend_by, book_by, draw, rules_by, slots_by
from guard.cache import HotReads, keeping
from guard.clock import MonotonicClock, wall_s
from guard.controller import Controller
from guard.core.sizing import DatabaseKind
from guard.core.vocabulary import BreakerPhase, Lane, Reason
from guard.correlation import correlate_by, new_id
from guard.errors import BackendClosed
from guard.export.log import RefusalLog
from guard.jobs import jobs
from guard.meter import PoolMeter
from guard.parts import parts
from guard.ranking import ranking_by, shares_by
from guard.refusals import RefusalSampler
from guard.relief import Relief
from guard.routing import Environ, Routing, lane_of_method
from guard.settings.forms import kind_of
from guard.sharing import breaker_rules, exchange, lane_breakers
from guard.socket_age import socket_age_s
from guard.trust import age_told_by
from guard.watcher import Watcher
from guard.watches.adaptive import AdaptiveWatch
from guard.watches.exemplars import Exemplars
from guard.watches.live import LiveWatch
from guard.watches.standard import standard
from guard.watches.states import DRAINING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Engine

    from guard.backends.base import Backend, Session
    from guard.clock import Clock
    from guard.core.vocabulary import Priority
    from guard.database import Database
    from guard.events import Recorder
    from guard.middleware import Guard
    from guard.settings import Settings
    from guard.settings.live import News
    from guard.watches.queues import QueueLength


_OK = Reason.OK
_SERVING: Final = frozenset({BreakerPhase.CLOSED, BreakerPhase.RECOVERING})


class Assembly:
    """A worker's guard: controller, database, breakers, watcher. Made once per process.

    Must be made after the fork: it starts threads. Thread-safe after construction.

    Attributes:
        settings: what it was made from.
        controller: decides.
        breakers: each lane's breaker.
        cache: the answers that are kept; None where none are.
        jobs: the writes that are put off; None where none are.
        meter: hears how connections are used; for pools that are none of Guard's.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - ``assemble`` alone calls it
        self,
        settings: Settings,
        recorder: Recorder,
        backend: Backend | None,
        meter: PoolMeter,
        clock: Clock,
        classify: Callable[[Environ], Lane | None],
        queues: Mapping[str, Callable[[], QueueLength]] | None = None,
        live: Callable[[], News | None] | None = None,
        prioritise: Callable[[Environ], Priority | None] | None = None,
        remember: Callable[[Environ], str | None] | None = None,
        may_wait: Callable[[Environ], bool] | None = None,
    ) -> None:
        self.settings = settings
        self.cache = keeping(settings, remember, recorder, clock.now_s)
        self.jobs = jobs(settings, may_wait, clock, recorder) if backend else None
        self._parts = parts(settings)
        self._recorder = recorder
        self._backend = backend
        self._classify = classify
        self._ranking = ranking_by(settings, prioritise)
        self._draining = False
        self._closing = False
        self._refusals = RefusalLog(clock)
        host = recorder.breakers if isinstance(recorder, WorkerRow) else None
        self.breakers = lane_breakers(settings, host, clock, draw, recorder)
        self.controller = Controller(
            rules_by(settings, shares_by(settings, self._ranking)),
            slots_by(settings, backend),
            self.breakers,
            clock=clock,
            book=book_by(settings, recorder, clock),
            serving=self._serving,
        )
        # A recorder that is no row of a board keeps no refusals.
        ring = getattr(recorder, "refusals", None)
        self._kept = RefusalSampler(self.controller, ring, clock) if ring is not None else None
        meter.controller = self.controller
        self.meter = meter
        kind = kind_of(settings.database_url)
        self._database = self._parts.database(backend, self.controller, kind) if backend else None
        also = standard(
            recorder, backend, lambda: self.why_not_ready, queues or {},
            single_writer=self._single_writer,
        )  # fmt: skip
        self._exemplars = Exemplars(wall_s, getattr(recorder, "note", None))
        if settings.breaker_slow_s > 0:
            meter.breakers = self.breakers
        self._exchange = exchange(settings, host, self.breakers, recorder) if backend else None
        if backend is not None:
            searched = [Lane.READ] if self._single_writer else list(Lane)
            adaptive = AdaptiveWatch(
                self.controller, backend, recorder,
                on=lambda: self.settings.adaptive, searched=searched,
            )  # fmt: skip
            also.append(adaptive)
        if live is not None:
            also.append(LiveWatch(settings, live, self.configure, recorder))
        self._watcher = Watcher(
            self.controller, backend, recorder, self.breakers,
            ready=lambda: self.ready, probe_timeout_s=settings.probe_timeout_s,
            single_writer=self._single_writer, also=[*also, self._exemplars],
        )  # fmt: skip

    @property
    def _single_writer(self) -> bool:
        return kind_of(self.settings.database_url) is DatabaseKind.DUCKDB

    def start(self, prepare: Callable[[Session], None] | None = None) -> None:
        """Open the database in the background and start to watch."""
        self._show_sizes()
        kind = kind_of(self.settings.database_url) or "none"
        self._recorder.set(metrics.BACKEND_INFO, (kind,), 1.0)
        if self._backend is not None:
            self._backend.open(prepare)
        self._watcher.start()
        if self._exchange is not None:
            self._exchange.start()

    def configure(self, settings: Settings) -> None:
        """Put other values of the live settings into force, without a wait; the others stay.

        What was admitted stays admitted; new requests are judged by the new settings. To be
        called by one thread at a time.

        Args:
            settings: checked settings, which differ in live ones only.
        """
        self.settings = settings
        self.controller.configure(rules_by(settings, shares_by(settings, self._ranking)))
        for breaker in self.breakers.values():
            breaker.configure(breaker_rules(settings))
        if isinstance(self.controller.book, AppointmentBook):
            self.controller.book.configure(settings.retry_after_min_s, settings.retry_after_max_s)
        logging.getLogger("guard").setLevel(settings.log_level.upper())
        self._show_sizes()

    def _show_sizes(self) -> None:
        for lane in Lane:
            limits = self.controller.rules.lanes[lane]
            self._recorder.set(metrics.LIMIT, (lane.value,), limits.permits_max)
        read, write = (self.controller.rules.lanes[lane] for lane in Lane)
        single = self._single_writer
        waiters = read.waiters_max + (0 if single else write.waiters_max)
        self._recorder.set(metrics.QUEUE_CAPACITY, ("admission",), waiters)
        writers = write.permits_max if single else 0
        self._recorder.set(metrics.QUEUE_CAPACITY, ("writer",), writers)

    @property
    def database(self) -> Database:
        """The developer's door to the database.

        Raises:
            BackendClosed: there is no database URL in the settings.
        """
        if self._database is None:
            raise BackendClosed("GUARD_DATABASE_URL is not set")
        return self._database

    @property
    def backend(self) -> Backend | None:
        """The database without permits, for work that is nobody's request; None without one."""
        return self._backend

    def wrap(self, app: Callable[[Environ, Callable[..., Any]], Iterable[bytes]]) -> Guard:
        """Return the middleware around a WSGI application; it should be the outermost one."""
        settings, relief = self.settings, Relief()
        if self.cache is not None:
            places = (self._database.take_place,) if self._database is not None else ()
            app = HotReads(app, self.cache, *places)
            relief = relief._replace(spare=self.cache.spare, headers=self.cache.headers)
        if self.jobs is not None:
            headers = (*relief.headers, *self.jobs.headers)
            relief = relief._replace(takes=self.jobs.takes, headers=headers)
        return self._parts.guard(
            app,
            self.controller,
            recorder=self._recorder,
            routing=Routing(
                exempt_paths=settings.exempt_paths,
                read_routes=settings.read_routes,
                write_routes=settings.write_routes,
                classify=self._classify,
            ),
            ranking=self._ranking,
            hold="connection" if self._backend else "request",
            age_s=age_told_by(settings.trusted_proxies, socket_age_s, wall_s),
            deadline_header="" if settings.deadline_header == "off" else settings.deadline_header,
            problem_type=settings.problem_type,
            correlate=correlate_by(settings.request_id, new_id),
            on_named=self._exemplars.keep,
            on_shed=self._shed,
            relief=relief,
        )

    def watch_pool(self, engine: Engine, lane: Lane) -> None:
        """Hear of the connections of an application's own SQLAlchemy engine; see ``PoolEvents``."""
        from guard.backends.sqlalchemy import PoolEvents

        PoolEvents(engine, lane, self.meter, self._recorder, self.controller.clock)

    def _shed(self, lane: Lane, reason: Reason) -> None:
        self._refusals.note(lane, reason)
        if self._kept is not None and reason.sheds:
            self._kept.note(lane, reason)

    @property
    def why_not_ready(self) -> str:
        """Why the worker is not open for requests, one line; empty where it is."""
        if self._draining:
            return DRAINING
        if self._backend is not None and not self._backend.ready:
            return f"the database is not open: {self._backend.opening_error or 'opening'}"
        for lane, breaker in self.breakers.items():
            if breaker.phase not in _SERVING:
                return f"the {lane} lane's breaker is {breaker.phase}"
        return ""

    @property
    def ready(self) -> bool:
        """Whether the worker is open for requests."""
        return not self.why_not_ready

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the database is open, at most ``timeout_s``; return whether it is."""
        return self._backend is None or self._backend.wait_ready(timeout_s)

    def _serving(self) -> Reason:
        # While it drains, what was accepted is still served.
        if self._closing:
            return Reason.DRAINING
        backend = self._backend
        return _OK if backend is None or backend.ready else Reason.STARTING

    def drain(self) -> None:
        """Say that the worker goes away: not ready, while accepted requests are still served."""
        self._draining = True
        with suppress(Exception):
            self._watcher.publish(0.0)

    def close(self, timeout_s: float = 5.0) -> None:
        """Refuse what still comes, let running units end, close the database. Idempotent."""
        self._draining = True
        self._closing = True
        self._watcher.stop()
        if self.jobs is not None:
            self.jobs.stop(timeout_s / 2)
        if self._exchange is not None:
            self._exchange.stop()
        if self._backend is not None:
            self._backend.close(timeout_s)
        if self.cache is not None:
            self.cache.store.close()


def assemble(  # noqa: PLR0913 - every part has a sound default
    settings: Settings,
    *,
    recorder: Recorder | None = None,
    prepare: Callable[[Session], None] | None = None,
    classify: Callable[[Environ], Lane | None] = lane_of_method,
    queues: Mapping[str, Callable[[], QueueLength]] | None = None,
    live: Callable[[], News | None] | None = None,
    prioritise: Callable[[Environ], Priority | None] | None = None,
    remember: Callable[[Environ], str | None] | None = None,
    may_wait: Callable[[Environ], bool] | None = None,
) -> Assembly:
    """Build and start a worker's guard.

    Args:
        settings: checked settings from ``guard.settings.load``.
        recorder: the worker's row of the shared board; a board of its own where None.
        prepare: runs once in a write session before the database is ready (migrations).
        classify: a request's lane, or None where it needs no database.
        queues: the queues in front of the application that the server knows; under gunicorn
            ``guard.gunicorn.WorkerContext.queues``.
        live: tells the live settings, which are then followed: under gunicorn
            ``guard.gunicorn.WorkerContext.live``, elsewhere a ``guard.settings.live.LiveFile``.
        prioritise: the class of a request of which settings and headers say nothing; None where
            it is as good as any.
        remember: names the answer to a GET that may be kept (``GUARD_CACHE``), from method, path,
            query and Host; None for all others.
        may_wait: whether the application may put a request's write off (``GUARD_JOBS``), told from
            method, path and ``guard.jobs.jobs.HEADERS``; None where it puts nothing off.

    Raises:
        SettingsError: the database URL names a database that there is no backend for.
    """
    clock = MonotonicClock()
    found = recorder or Board.local()[1]
    meter = PoolMeter(found)
    backend = backend_by(settings, parts(settings).observer(meter), clock)
    assembly = Assembly(
        settings,
        found,
        backend,
        meter,
        clock,
        classify,
        queues,
        live,
        prioritise,
        remember,
        may_wait,
    )
    assembly.start(prepare)
    return assembly
