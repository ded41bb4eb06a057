"""Jobs in a file of this host: SQLite, by way of litequeue. The only place that imports it."""

from __future__ import annotations

import json
import logging
import sqlite3
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from litequeue import LiteQueue, MessageStatus

from guard.jobs.queue import LATER, LOOK_S, Job, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from litequeue import Message

LOST_S: Final = 60
"""A job that was begun so long ago has lost its worker, seconds; none takes as long."""
KEPT_MAX: Final = 100_000
"""So many jobs that have ended are remembered at least; then all of them are forgotten."""
_BUSY_S: Final = 5.0
_SWEEP_EVERY: Final = 100

log = logging.getLogger("guard.jobs")


class LocalQueue:
    """Jobs in one SQLite file, shared by the host's workers. Thread-safe.

    litequeue leaves ``synchronous`` at NORMAL, with which a power cut could take back what was
    acknowledged. Here it is FULL, so that each commit to the write-ahead log is an fsync.

    Args:
        path: the file, made where it is missing.
        jobs_max: most jobs that may wait.
    """

    def __init__(self, path: str, jobs_max: int) -> None:
        self._jobs_max = jobs_max
        # One connection for all threads, one at a time: a commit's fsync is what takes the time.
        self._lock = Lock()
        connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        self._queue = LiteQueue(connection)
        connection.execute("PRAGMA synchronous = FULL")
        self._stopping = Event()
        self._thread: Thread | None = None

    def put(self, data: dict[str, Any]) -> str | None:
        """Take a job, durable on return, and return its id; None where the queue is full."""
        with self._lock:
            if self._queue.conn.in_transaction:
                # A commit has failed and left it open: what is put in there would not be durable.
                self._queue.conn.rollback()
            if self._queue.qsize() >= self._jobs_max:
                return None
            return str(self._queue.put(json.dumps(data)).message_id)

    def phase(self, job_id: str) -> Phase | None:
        """Return how far a job is; None where it is not known (any more)."""
        with self._lock:
            found = self._queue.get(job_id)
        if found is None:
            return None
        ended = {MessageStatus.DONE: Phase.DONE, MessageStatus.FAILED: Phase.FAILED}
        return ended.get(MessageStatus(found.status), Phase.QUEUED)

    def waiting(self) -> int:
        """Return how many jobs have not ended."""
        with self._lock:
            return int(self._queue.qsize())

    def doubt(self) -> str:
        """Return nothing: each commit is synced."""
        return ""

    def start(self, run: Callable[[Job], None]) -> None:
        """Run jobs in a thread of this process, one at a time."""
        self._thread = Thread(target=self._work, args=(run,), name="guard-jobs", daemon=True)
        self._thread.start()

    def _work(self, run: Callable[[Job], None]) -> None:
        # Jobs of a worker that was killed. A worker that still ends meanwhile may run the same
        # ones, which creates nothing twice.
        lost_s, turns = 0, 0
        while not self._stopping.is_set():
            try:
                if turns % _SWEEP_EVERY == 0:
                    self._sweep(lost_s)
                    lost_s = LOST_S
                turns += 1
                if not self._run_one(run):
                    self._stopping.wait(LOOK_S)
            except sqlite3.Error as error:
                log.warning("the queue of jobs can't be read: %s", error)
                self._stopping.wait(10 * LOOK_S)

    def _run_one(self, run: Callable[[Job], None]) -> bool:
        """Run the oldest job; return False where there is none, or it must wait."""
        with self._lock:
            found: Message | None = self._queue.pop()
        if found is None:
            return False
        end, again = self._queue.done, False
        try:
            run(Job(found.message_id, json.loads(found.data)))
        except LATER:
            end, again = self._queue.retry, True
        except Exception:
            log.exception("job %s has failed", found.message_id)
            end = self._queue.mark_failed
        with self._lock:
            end(found.message_id)
        return not again

    def _sweep(self, lost_s: int) -> None:
        with self._lock:
            for message in list(self._queue.list_locked(lost_s)):
                self._queue.retry(message.message_id)
            (ended,) = self._queue.conn.execute(
                f"SELECT count(*) FROM {self._queue.table} WHERE status >= ?",  # noqa: S608 - fixed
                (MessageStatus.DONE.value,),
            ).fetchone()
            if ended > KEPT_MAX:
                self._queue.prune()

    def stop(self, timeout_s: float) -> None:
        """Let the job under way end, at most ``timeout_s``, and let go. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._lock:
            self._queue.close()
