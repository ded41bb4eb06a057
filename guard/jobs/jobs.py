"""Puts writes off instead of refusing them, and runs them when there is room."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from threading import BoundedSemaphore, Event, Thread
from typing import TYPE_CHECKING, Any, Final

from guard import metrics
from guard.core.vocabulary import Reason
from guard.errors import BackendFailed, BadSetting, SettingsError
from guard.jobs.queue import Unsure
from guard.pause import Pause
from guard.request import CURRENT
from guard.tally import DEFERRED

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.clock import Clock
    from guard.events import Recorder
    from guard.jobs.queue import Job, JobQueue, Phase
    from guard.routing import Environ
    from guard.settings import Settings

PUTS_MAX: Final = 2
"""So many requests of a worker may put at once: each waits for a disk, and holds a thread."""
FULL_S: Final = 0.5
"""So long after the queue was full nobody asks whether it still is."""
LOOK_EVERY_S: Final = 1.0
REDIS_TIMEOUT_S: Final = 1.0
_REASONS: Final = frozenset({Reason.POOL_SATURATED, Reason.BREAKER_OPEN, Reason.LOW_PRIORITY})
"""Why a write is put off. Where the process is out of CPU, or the client asks for too much, taking
one in costs what is short; a client that has no time left gets nothing out of it."""

HEADERS: Final = ("Idempotency-Key",)
"""The request headers that ``may_wait`` sees."""

log = logging.getLogger("guard.jobs")


class Jobs:
    """A worker's put-off writes. Thread-safe.

    Args:
        queue: where they wait.
        may_wait: whether a request's write may be put off, told from method, path and ``headers``.
        patience_s: a request that has waited longer than this in front of the application is
            refused, seconds.
        clock: the monotonic clock.
        recorder: takes the measurements.
    """

    headers = HEADERS

    def __init__(
        self,
        queue: JobQueue,
        may_wait: Callable[[Environ], bool],
        patience_s: float,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self._queue = queue
        self._may_wait = may_wait
        self._patience_s = patience_s
        self._clock = clock
        self._record = recorder
        self._places = BoundedSemaphore(PUTS_MAX)
        self._pause = Pause()
        self._full_until_s = 0.0
        self._stopping = Event()
        self._thread = Thread(target=self._look, name="guard-jobs-look", daemon=True)

    def takes(self, environ: Environ, reason: Reason, age_s: float) -> bool:
        """Return whether a request that found no room may go on, to be put off by the application.

        The early gates' question; it must not wait.
        """
        return (
            reason in _REASONS
            and age_s <= self._patience_s
            and self._clock.now_s() >= self._full_until_s
            and self._may_wait(environ)
        )

    def put(self, data: dict[str, Any]) -> str | None:
        """Put a write off, durably; return the job's id, or None where it must be refused.

        To be called where the database has raised ``Shed`` for it; the request is then counted as
        ``deferred``.

        Raises:
            BackendFailed: it may have been put off. A refusal would promise that nothing was
                executed, and a client that believes it would have it done twice.
        """
        scope = CURRENT.get()
        if scope is not None and scope.reason.sheds and scope.reason not in _REASONS:
            return None
        if not self._places.acquire(blocking=False):
            return None
        try:
            # Asked last: who is told that the pause is over must try.
            if not self._pause.over(self._clock.now_s()):
                return None
            job_id = self._queue.put(data)
        except Unsure as error:
            self._pause.failed(self._clock.now_s())
            self._count("error")
            if scope is not None:
                scope.reason, scope.executed = Reason.OK, True
            raise BackendFailed("whether the write was put off is not known") from error
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be put off now
            self._pause.failed(self._clock.now_s())
            log.warning("a write could not be put off: %s", error)
            self._count("error")
            return None
        finally:
            self._places.release()
        self._pause.answered()
        if job_id is None:
            self._full_until_s = self._clock.now_s() + FULL_S
            self._count("full")
            return None
        self._count("accepted")
        if scope is not None and scope.reason.sheds:
            scope.relieved = DEFERRED
        return job_id

    def phase(self, job_id: str) -> Phase | None:
        """Return how far a job is; None where it is not known.

        Raises:
            Exception: the queue can't be reached, or could not a moment ago: nothing bounds how
                many ask, so they must not all wait for one that is away.
        """
        if not self._pause.over(self._clock.now_s()):
            raise ConnectionError("it could not be reached a moment ago")
        try:
            phase = self._queue.phase(job_id)
        except Exception:
            self._pause.failed(self._clock.now_s())
            raise
        self._pause.answered()
        return phase

    def start(self, run: Callable[[Job], None]) -> None:
        """Run jobs in a thread of this process; see ``guard.jobs.queue.JobQueue.start``."""

        def counted(job: Job) -> None:
            run(job)
            self._count("done")

        self._queue.start(counted)
        self._thread.start()

    def _look(self) -> None:
        # In a thread of its own: the queue may be slow, and the watcher has more to look at.
        with suppress(Exception):  # a server that does not tell its settings
            doubt = self._queue.doubt()
            if doubt:
                log.warning("a write that is put off may be lost: %s", doubt)
        while not self._stopping.wait(LOOK_EVERY_S):
            with suppress(Exception):
                self._record.set(metrics.JOBS_WAITING, (), self._queue.waiting())

    def stop(self, timeout_s: float) -> None:
        """Let the job under way end, and stop. Idempotent."""
        self._stopping.set()
        self._queue.stop(timeout_s)

    def _count(self, result: str) -> None:
        self._record.add(metrics.JOBS, (result,))


def jobs(
    settings: Settings,
    may_wait: Callable[[Environ], bool] | None,
    clock: Clock,
    recorder: Recorder,
) -> Jobs | None:
    """Return what the settings ask for, not yet started; None where nothing is put off.

    Raises:
        SettingsError: a package is missing, or the file can't be opened.
    """
    if settings.jobs == "off" or may_wait is None:
        return None
    try:
        queue = _queue(settings)
    except ModuleNotFoundError as error:
        hint = "pip install 'wsgi-guard[jobs]'"
        raise SettingsError(
            [BadSetting("GUARD_JOBS", settings.jobs, f"needs {error.name}", hint)]
        ) from error
    except sqlite3.Error as error:
        raise SettingsError(
            [BadSetting("GUARD_JOBS_FILE", settings.jobs_file, f"can't be opened: {error}")]
        ) from error
    return Jobs(queue, may_wait, settings.write_wait_budget_s, clock, recorder)


def _queue(settings: Settings) -> JobQueue:
    if settings.jobs == "redis":
        from guard.jobs.redis_queue import RedisQueue
        from guard.redis_client import connect

        redis = connect(settings.jobs_redis_url, REDIS_TIMEOUT_S)
        return RedisQueue(redis, settings.jobs_redis_prefix, settings.jobs_max)
    from guard.jobs.local_queue import LocalQueue

    return LocalQueue(settings.jobs_file, settings.jobs_max)
