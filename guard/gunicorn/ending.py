"""How a worker ends: drain, let running requests end, close the database, within a bound.

gunicorn's gthread worker stops in two ways. SIGTERM (also a reload, fewer workers, recycling):
it closes the listeners and waits up to ``graceful_timeout`` for its connections. SIGQUIT and
SIGINT: it shuts its executor down *in the signal handler*, which blocks for ever where the
signal hit the main thread inside ``submit``, and leaves by an exception. Here the second way
becomes the first one with no time to wait, and a thread sees to it that the process ends.
"""

from __future__ import annotations

import logging
import os
import sys
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.gunicorn.context import WorkerContext
    from guard.gunicorn.kinds import Worker

MARGIN_S = 5
"""How much earlier than the arbiter's patience a worker's own ends, so that it closes in order."""
_POLL_S = 0.5


class _Bounds(NamedTuple):
    """Longest times in seconds, one after the other.

    Attributes:
        drain_s: of the drain callbacks.
        requests_s: of the requests that still run.
        exit_s: of the exit callbacks.
        linger_s: of the interpreter's own exit.
    """

    drain_s: float
    requests_s: float
    exit_s: float
    linger_s: float


# gthread has waited for the requests already, up to a second longer than it was told.
_GRACEFUL = _Bounds(0.5, 0.2, 2.2, 0.8)
# With the arbiter's own steps all of it stays below two seconds.
_QUICK = _Bounds(0.1, 0.5, 0.5, 0.3)
_HANG_S = 0.4
_OVERTIME_S = 0.1


class Ending:
    """The end of one worker process. Made after the fork; ``install`` before signals are set.

    Args:
        worker: gunicorn's worker.
        context: holds the callbacks.
    """

    def __init__(self, worker: Worker, context: WorkerContext) -> None:
        self._worker = worker
        self._context = context
        self._clock = MonotonicClock()
        # SimpleQueue's put is reentrant, so a signal handler may use it; an Event's set is not.
        self._signals: SimpleQueue[None] = SimpleQueue()
        self._turn: SimpleQueue[None] = SimpleQueue()
        self._turn.put(None)
        self._quick = False
        self._drained = Event()
        self._finishing = Event()
        self._watch: Thread | None = None
        self._exit = worker.handle_exit

    def install(self) -> None:
        """Listen to the worker's stop signals; must come before gunicorn sets its handlers."""
        worker = self._worker
        worker.handle_exit = self._handle_exit
        if hasattr(worker, "method_queue"):
            worker.handle_quit = self._handle_quit
        worker.cfg.set("graceful_timeout", max(1, worker.cfg.graceful_timeout - MARGIN_S))

    def watch(self) -> None:
        """Start the thread that drains when the worker begins to stop."""
        self._watch = Thread(target=self._run, name="guard-ending", daemon=True)
        self._watch.start()

    def begin(self) -> None:
        """Say that the worker begins to stop. May be called in a signal handler, and often."""
        self._signals.put(None)

    def finish(self, exit_code: int) -> None:
        """End the worker, in its main thread; returns where the process may go on to its exit.

        Where a request or a callback is still running when the time is over, the process ends
        here: the interpreter would wait for its threads without a bound.

        Args:
            exit_code: the exit status in that case.
        """
        self._finishing.set()
        self.begin()
        if not self._take_turn():
            # The watching thread was faster; it ends the process.
            Event().wait()
        if not self._end() and self._worker.booted:
            _exit_now(exit_code)
        # The interpreter joins every thread at its exit; one of the application's may not end.
        linger_s = self._bounds.linger_s
        Thread(target=_exit_later, args=(linger_s, exit_code), daemon=True).start()

    def _handle_exit(self, sig: int, frame: object) -> None:
        self.begin()
        self._exit(sig, frame)

    def _handle_quit(self, _sig: int, _frame: object) -> None:
        worker = self._worker
        if self._quick:
            return  # Ctrl-C comes twice: from the terminal and from the arbiter
        self._quick = True
        self.begin()
        worker.cfg.worker_int(worker)
        if not worker.booted:
            raise SystemExit(0)
        # gthread's loop ends where it has no connections, or no time for them.
        worker.cfg.set("graceful_timeout", 0)
        worker.nr_conns = 0
        worker.alive = False
        worker.method_queue.defer(_nothing)

    def _run(self) -> None:
        self._wait_for_stop()
        self._drain()
        while not self._quick:
            self._signals.get()
        # The main thread may be stuck, in a slow client's closing handshake or in a lock.
        if not self._finishing.wait(_HANG_S) and self._take_turn():
            self._end()
            _exit_now(0)

    def _wait_for_stop(self) -> None:
        # Recycling after max_requests only clears ``alive``, hence the poll.
        while self._worker.alive:
            try:
                self._signals.get(timeout=_POLL_S)
            except Empty:
                continue
            return

    def _take_turn(self) -> bool:
        try:
            self._turn.get_nowait()
        except Empty:
            return False
        return True

    @property
    def _bounds(self) -> _Bounds:
        return _QUICK if self._quick else _GRACEFUL

    def _end(self) -> bool:
        bounds = self._bounds
        if self._watch is None:
            self._drain()
        self._drained.wait(bounds.drain_s)
        requests_ended = self._wait_for_requests(bounds.requests_s)
        return self._call_exit_callbacks(bounds.exit_s) and requests_ended

    def _drain(self) -> None:
        for callback in self._context.drain_callbacks:
            try:
                callback()
            except Exception:
                self._worker.log.exception("a drain callback failed")
        self._drained.set()

    def _wait_for_requests(self, timeout_s: float) -> bool:
        pool = getattr(self._worker, "tpool", None)
        if pool is None:
            return True
        # gthread has closed this pipe, but a request that ends late still writes a byte to the
        # descriptor's number, which by then may be a file of the database.
        self._worker.method_queue._write_fd = -1  # type: ignore[attr-defined]  # noqa: SLF001
        return _within(timeout_s, lambda: pool.shutdown(wait=True, cancel_futures=True))

    def _call_exit_callbacks(self, timeout_s: float) -> bool:
        until_s = self._clock.now_s() + timeout_s

        def call() -> None:
            for callback in self._context.exit_callbacks:
                try:
                    callback(max(0.0, until_s - self._clock.now_s()))
                except Exception:
                    self._worker.log.exception("an exit callback failed")

        # A little more than the callbacks are told, so that one that keeps to it returns.
        return _within(timeout_s + _OVERTIME_S, call)


def _within(timeout_s: float, call: Callable[[], object]) -> bool:
    thread = Thread(target=call, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return not thread.is_alive()


def _exit_now(code: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _exit_later(after_s: float, code: int) -> None:
    Event().wait(after_s)
    _exit_now(code)


def _nothing() -> None:
    pass
