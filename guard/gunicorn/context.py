"""What the code in a worker sees of its worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.events import Recorder
    from guard.problem import Response
    from guard.settings import Settings
    from guard.settings.live import News
    from guard.watches.queues import QueueLength


class LoadedInArbiter(GuardError, RuntimeError):  # noqa: N818 - says what happened
    """The application was loaded in the process that forks the workers.

    A ``RuntimeError`` too: gunicorn prints that as one line where it loads an application early.
    """


class Gate(Protocol):
    """What ``GuardWorker`` asks in its accept loop; ``guard.middleware.Guard`` is one."""

    @property
    def headers(self) -> Sequence[str] | None:
        """Names of the request headers that ``consider`` looks at; None where it may be any."""
        ...

    def pressed(self) -> bool:
        """Whether requests are being refused, so that it pays to look at each early."""
        ...

    def consider(self, environ: dict[str, Any], waiting_s: float) -> Response | None:
        """Return the refusal that a request would get anyway, or None to let it through.

        Args:
            environ: method, path, query, the peer's address, ``headers`` and ``gunicorn.socket``.
            waiting_s: how long the request would wait for a thread.
        """
        ...


class WorkerContext:
    """A gunicorn worker, for the application that runs in it.

    The callbacks may be added while the application is loaded; afterwards it is too late.

    Attributes:
        recorder: the worker's row of the board that all workers share.
        settings: the settings with which the arbiter started this worker.
        gate: asked by ``GuardWorker`` before a request gets a thread.
        queues: tells the queues in front of the application, for ``guard.assembly.assemble``.
        live: tells the live settings, for the same.
    """

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        queues: Mapping[str, Callable[[], QueueLength]] | None = None,
        live: Callable[[], News | None] | None = None,
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.queues = queues or {}
        self.live = live
        self.gate: Gate | None = None
        self.drain_callbacks: list[Callable[[], object]] = []
        self.exit_callbacks: list[Callable[[float], object]] = []
        self._pid = os.getpid()

    def on_drain(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called once when the worker begins to stop.

        It runs in a thread of its own while requests are still served, and should be short.
        """
        self.drain_callbacks.append(callback)

    def on_exit(self, callback: Callable[[float], object]) -> None:
        """Have ``callback(seconds_left)`` called once after the last request, before the exit.

        Callbacks run one after the other, in the order in which they were added, after those
        of ``on_drain``. When the seconds are over the process ends, whatever still runs.
        """
        self.exit_callbacks.append(callback)

    @property
    def here(self) -> bool:
        """Whether this process is the worker (and not, say, a child of it)."""
        return self._pid == os.getpid()


class _Process:
    """What this process is."""

    worker: WorkerContext | None = None
    arbiter_pid = 0


def become_arbiter() -> None:
    """Remember that this process forks the workers."""
    _Process.arbiter_pid = os.getpid()


def become_worker(context: WorkerContext) -> None:
    """Remember that this process is a worker."""
    _Process.worker = context


def current_worker() -> WorkerContext | None:
    """Return the gunicorn worker that this process is, or None in any other process.

    Raises:
        LoadedInArbiter: this is gunicorn's arbiter, where no connection may be made:
            ``preload_app`` is on, or ``--check-config`` was given.
    """
    if _Process.worker is not None and _Process.worker.here:
        return _Process.worker
    if _Process.arbiter_pid == os.getpid():
        raise LoadedInArbiter(
            "the application must be loaded in the workers, after the fork: "
            "turn preload_app (--preload) off; `python -m guard check` replaces --check-config"
        )
    return None
