"""Jobs in Redis for all hosts, by way of dramatiq. The only place that imports it."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from dramatiq import Actor, Worker
from dramatiq.brokers.redis import RedisBroker

from guard.jobs.queue import LATER, LOOK_S, Job, Phase, Unsure

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq import Message

QUEUE: Final = "writes"
KEPT_S: Final = 24 * 3600
"""How long it is told how far a job is, counted from the last change, seconds."""
HEARTBEAT_MS: Final = 10_000
"""A process that has not asked Redis for so long has died, and others take its jobs."""
_MAINTENANCE: Final = 50_000
"""Of a million questions to Redis so many look for jobs of dead processes."""
_POLL_MS: Final = 1000
_REDIS_PAUSE_S: Final = 0.5

_DURABLE: Final = {
    "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
}  # fmt: skip

log = logging.getLogger("guard.jobs")


class RedisQueue:
    """Jobs in Redis. Thread-safe; shared by all hosts.

    dramatiq gives a job to a process and forgets it only when that says that it is done; those of a
    process without a heartbeat are given to another. What it has not is a job's state, which lies
    in a key of its own. It is written before the job is put, so a job that runs has one.

    A job that finds no room waits here in its place and not in dramatiq's delay queue: that lies
    in the process' memory, and after Redis was away only the process' end would bring it back.

    Args:
        redis: the client, for bytes. Its server must sync each command to the disk before it
            answers: ``appendonly yes``, ``appendfsync always``.
        prefix: the begin of the keys.
        jobs_max: most jobs that may wait.
    """

    def __init__(self, redis: Any, prefix: str, jobs_max: int) -> None:  # noqa: ANN401 - see the cache's
        self._redis = redis
        self._prefix = f"{prefix}:jobs"
        self._jobs_max = jobs_max
        self._stopping = Event()
        self._run: Callable[[Job], None] | None = None
        # No middleware: its time limits raise exceptions in the middle of a driver's call.
        self._broker = RedisBroker(  # type: ignore[no-untyped-call]
            client=redis, namespace=self._prefix, middleware=[],
            heartbeat_timeout=HEARTBEAT_MS, maintenance_chance=_MAINTENANCE,
        )  # fmt: skip
        self._actor: Actor[[str, dict[str, Any]], None] = Actor(
            self._work, broker=self._broker, actor_name="write", queue_name=QUEUE, priority=0,
            options={},
        )  # fmt: skip
        self._worker: Worker | None = None

    def put(self, data: dict[str, Any]) -> str | None:
        """Take a job; see ``JobQueue.put``."""
        if self.waiting() >= self._jobs_max:
            return None
        job_id = str(uuid4())
        self._set(job_id, Phase.QUEUED)
        try:
            self._broker.enqueue(self._message(job_id, data))
        except Exception as error:
            raise Unsure(str(error)) from error
        return job_id

    def phase(self, job_id: str) -> Phase | None:
        """Return how far a job is; None where it is not known (any more)."""
        found = self._redis.get(self._key(job_id))
        return None if found is None else Phase(found.decode())

    def waiting(self) -> int:
        """Return how many jobs have not ended."""
        return int(self._redis.hlen(f"{self._prefix}:{QUEUE}.msgs"))

    def doubt(self) -> str:
        """Return why what it has taken might be lost, by what the server tells of its settings."""
        found: dict[bytes | str, bytes | str] = {}
        for name in _DURABLE:
            # Each name alone: older servers take no more.
            found |= self._redis.config_get(name)
        texts = {_text(name): _text(value) for name, value in found.items()}
        wrong = [
            f"{name} is {texts[name]}" for name, right in _DURABLE.items() if texts[name] != right
        ]
        return f"of its Redis {', '.join(wrong)}" if wrong else ""

    def start(self, run: Callable[[Job], None]) -> None:
        """Run jobs in a thread of this process, one at a time."""
        self._run = run
        self._worker = Worker(
            self._broker, queues={QUEUE}, worker_threads=1, worker_timeout=_POLL_MS
        )
        self._worker.start()

    def stop(self, timeout_s: float) -> None:
        """Let the job under way end, at most ``timeout_s``, and let go. Idempotent."""
        self._stopping.set()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(timeout=round(timeout_s * 1000))
        self._redis.close()

    def _work(self, job_id: str, data: dict[str, Any]) -> None:
        # In dramatiq's thread. Returning acknowledges, so it is left only when that is right.
        phase = self._ended(Job(job_id, data))
        if phase is None:
            # Once more in the queue first: in between both are there, and one creates nothing.
            self._surely(lambda: self._broker.enqueue(self._message(job_id, data)))
        else:
            self._surely(lambda: self._set(job_id, phase))

    def _ended(self, job: Job) -> Phase | None:
        """Run a job until it has ended; None where the process ends before."""
        while self._run is not None and not self._stopping.is_set():
            try:
                self._run(job)
            except LATER:
                self._stopping.wait(LOOK_S)
            except Exception:
                log.exception("job %s has failed", job.id)
                return Phase.FAILED
            else:
                return Phase.DONE
        return None

    @staticmethod
    def _surely(act: Callable[[], object]) -> None:
        """Do it as soon as Redis is there; where the process ends before, another runs the job."""
        while True:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whatever it is, the job must not be forgotten
                log.warning("the queue of jobs can't be reached: %s", error)
                Event().wait(_REDIS_PAUSE_S)
            else:
                return

    def _message(self, job_id: str, data: dict[str, Any]) -> Message[None]:
        return self._actor.message(job_id, data)

    def _set(self, job_id: str, phase: Phase) -> None:
        self._redis.set(self._key(job_id), phase.value, ex=KEPT_S)

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}:{job_id}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
