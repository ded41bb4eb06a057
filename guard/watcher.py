"""One thread per worker that looks five times a second: gauges, heartbeat, breaker probes.

It only looks at values in this process, so it works while every request thread is busy. A
probe may block for its time-out; each breaker is therefore probed from a thread of its own.
"""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from guard import metrics
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.backends.base import Backend, PoolSignals
    from guard.controller import Controller
    from guard.events import Recorder

PERIOD_S = 0.2
STUCK_S = 1.0
"""A lane whose connections are all held for so long, none given back, asks for a probe."""
log = logging.getLogger("guard.watcher")


class Probed(Protocol):
    """A breaker that asks for its probe."""

    def look(self) -> None:
        """See what other workers have changed."""
        ...

    def run_probe_if_due(self, probe: Callable[[], None]) -> bool:
        """Run the probe where one is due; return whether it ran."""
        ...

    def check(self, probe: Callable[[], None]) -> None:
        """Run the probe because the lane has no connection, or none that comes back."""
        ...

    def remaining_s(self) -> float:
        """Return the seconds until the next probe; 0 while closed."""
        ...


class Progress:
    """Tells whether a lane's connections come back. Not thread-safe."""

    def __init__(self) -> None:
        self._hold_s = -1.0
        self._since_s = 0.0

    def stuck(self, pool: PoolSignals, hold_s: float, now_s: float) -> bool:
        """Return whether all connections were held, and none given back, for ``STUCK_S``.

        It then begins anew, so that a lane of long statements asks for few probes.

        Args:
            pool: the lane's pool now.
            hold_s: the moving average of hold times: it moves whenever a connection comes back.
            now_s: the time.
        """
        if pool.in_use < pool.size or hold_s != self._hold_s:
            self._hold_s, self._since_s = hold_s, now_s
        stuck = now_s - self._since_s >= STUCK_S
        if stuck:
            self._since_s = now_s
        return stuck


class Watcher:
    """Publishes a worker's gauges and drives its breakers' probes until stopped.

    Args:
        controller: gives the lanes' load.
        backend: gives the pools' signals and answers probes; None where there is none.
        recorder: takes the gauges.
        breakers: the breakers to probe.
        ready: tells whether the worker is open for requests.
        probe_timeout_s: longest time of a probe.
        single_writer: whether the write lane's waiters stand in one writer's queue (DuckDB).
        also: called with the time at each look; see ``guard.watches``.
    """

    def __init__(  # noqa: PLR0913 - two of them are optional
        self,
        controller: Controller,
        backend: Backend | None,
        recorder: Recorder,
        breakers: Mapping[Lane, Probed],
        *,
        ready: Callable[[], bool],
        probe_timeout_s: float,
        single_writer: bool = False,
        also: Sequence[Callable[[float], None]] = (),
    ) -> None:
        self._controller = controller
        self._backend = backend
        self._record = recorder
        self._breakers = breakers
        self._ready = ready
        self._single_writer = single_writer
        self._also = also
        self._stop = Event()
        self._probe_timeout_s = probe_timeout_s
        self._threads = [Thread(target=self._watch, name="guard-watcher", daemon=True)]
        self._threads += [
            Thread(
                target=self._attend, args=(lane, breaker), name=f"guard-probe-{lane}", daemon=True
            )
            for lane, breaker in breakers.items()
        ]

    def start(self) -> None:
        """Publish once, then start the threads."""
        self.publish(0.0)
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the threads; waits for each at most ``timeout_s``."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        self._record.set(metrics.WORKER_READY, (), 0.0)

    def publish(self, elapsed_s: float) -> None:
        """Set every gauge of this worker; ``elapsed_s`` is the time since the last call."""
        self._record.set(metrics.WORKER_READY, (), float(self._ready()))
        heartbeat = getattr(self._record, "heartbeat", None)
        if heartbeat is not None:
            heartbeat(self._controller.clock.now_s())
        for lane, breaker in self._breakers.items():
            self._record.set(metrics.BREAKER_PROBE_DUE, (lane.value,), breaker.remaining_s())
        waiting = {lane: self._publish_lane(lane, elapsed_s) for lane in Lane}
        writing = waiting[Lane.WRITE] if self._single_writer else 0
        self._record.set(metrics.QUEUE_DEPTH, ("writer",), writing)
        self._record.set(metrics.QUEUE_DEPTH, ("admission",), sum(waiting.values()) - writing)
        for look in self._also:
            look(self._controller.clock.now_s())

    def _publish_lane(self, lane: Lane, elapsed_s: float) -> int:
        load = self._controller.load(lane)
        limits = self._controller.rules.lanes[lane]
        self._record.set(metrics.INFLIGHT, (lane.value,), load.in_flight)
        if self._backend is None:
            self._record.set(metrics.LIMIT, (lane.value,), limits.permits_max)
            return 0
        pool = self._backend.signals(lane)
        # A connection that is not lent is no place for a request either.
        unlent = max(0, pool.size - pool.slots)
        self._record.set(metrics.LIMIT, (lane.value,), limits.permits_max - unlent)
        busy = min(pool.in_use, pool.size)
        self._record.set(metrics.POOL_CONNECTIONS, (lane.value, "in_use"), busy)
        self._record.set(metrics.POOL_CONNECTIONS, (lane.value, "idle"), pool.size - busy)
        self._record.set(metrics.POOL_MAX, (lane.value,), pool.size_max)
        self._record.set(metrics.POOL_WAITERS, (lane.value,), pool.waiting)
        if pool.size <= busy:
            self._record.add(metrics.POOL_SATURATED, (lane.value,), elapsed_s)
        return pool.waiting

    def _watch(self) -> None:
        before_s = self._controller.clock.now_s()
        while not self._stop.wait(PERIOD_S):
            now_s = self._controller.clock.now_s()
            try:
                self.publish(now_s - before_s)
                self._controller.look()
            except Exception:
                # A broken gauge must not end the thread that shows the rest.
                log.exception("the gauges could not be published")
            before_s = now_s

    def _attend(self, lane: Lane, breaker: Probed) -> None:
        progress = Progress()
        while not self._stop.wait(PERIOD_S / 2):
            try:
                self._probe(lane, breaker, progress)
            except Exception:
                log.exception("the %s lane's probe could not be run", lane)

    def _probe(self, lane: Lane, breaker: Probed, progress: Progress) -> None:
        backend, timeout_s = self._backend, self._probe_timeout_s
        if backend is None:
            breaker.look()
            return

        def probe() -> None:
            backend.probe(lane, timeout_s)

        if breaker.run_probe_if_due(probe) or not backend.ready:
            return
        pool, hold_s = backend.signals(lane), self._controller.load(lane).hold_s
        # A database in this process can't freeze apart from it, and a long commit of its one
        # writer would hold up the probe as well.
        stuck = not self._single_writer and progress.stuck(
            pool, hold_s, self._controller.clock.now_s()
        )
        if stuck or pool.slots <= 0:
            breaker.check(probe)
