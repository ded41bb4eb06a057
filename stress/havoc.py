"""Random kills, stops and reloads, from a seed."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.demo_postgres import DemoServer
    from stress.server import Server

KILL_WORKER: Final = "kill -9 of a worker"
STOP_WORKER: Final = "a worker stopped"
RELOAD: Final = "reload"
KILL_DATABASE: Final = "kill -9 of the database"
STOP_DATABASE: Final = "the database stopped"

_PAUSE_S: Final = (0.3, 4.0)
_WORKER_STOPPED_S: Final = (0.1, 2.0)
_DATABASE_AWAY_S: Final = (0.0, 2.0)
_DATABASE_STOPPED_S: Final = (0.1, 7.0)
_OFTEN: Final = {
    KILL_WORKER: 4, STOP_WORKER: 3, RELOAD: 2, KILL_DATABASE: 2, STOP_DATABASE: 2,
}  # fmt: skip
_BOTH: Final = 0.5
"""How often a worker is killed while the database does not answer."""


class Havoc:
    """Does one thing after the other in a thread of its own. Use as a context manager.

    The thread lives until the block's end: a server that it started again ends with it.

    Args:
        service: whose workers are hit.
        database: the database's server; None leaves it alone.
        seed: makes the same things in the same order; which worker of those that live
            depends on the moment.

    Attributes:
        done: what was done, by name.
        error: what went wrong in doing it.
    """

    def __init__(self, service: Server, database: DemoServer | None, seed: int) -> None:
        self._service = service
        self._database = database
        self._draw = random.Random(seed)
        self._enough = Event()
        self._calm = Event()
        self._over = Event()
        self._thread = Thread(target=self._run, name="havoc", daemon=True)
        self.done: Counter[str] = Counter()
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._over.set()
        self._thread.join()

    def stop(self) -> None:
        """Do no more; returns when what was begun is mended.

        Raises:
            OSError: something could not be done.
        """
        self._enough.set()
        self._calm.wait()
        if self.error is not None:
            raise OSError(f"no havoc could be made: {self.error}") from self.error

    def _run(self) -> None:
        acts: dict[str, Callable[[], None]] = {
            KILL_WORKER: self._kill_worker, STOP_WORKER: self._stop_worker, RELOAD: self._reload,
        }  # fmt: skip
        if self._database is not None:
            acts |= {KILL_DATABASE: self._kill_database, STOP_DATABASE: self._stop_database}
        names = list(acts)
        try:
            while not self._enough.wait(self._draw.uniform(*_PAUSE_S)):
                (name,) = self._draw.choices(names, [_OFTEN[each] for each in names])
                self.done[name] += 1
                acts[name]()
        except Exception as error:  # noqa: BLE001 - told by ``stop``
            self.error = error
        finally:
            self._calm.set()
            self._over.wait()

    def _kill_worker(self) -> None:
        self._signal_worker(signal.SIGKILL)

    def _stop_worker(self) -> None:
        pid = self._signal_worker(signal.SIGSTOP)
        self._enough.wait(self._draw.uniform(*_WORKER_STOPPED_S))
        if pid is not None:
            _signal(pid, signal.SIGCONT)

    def _signal_worker(self, number: int) -> int | None:
        share = self._draw.random()
        workers = self._service.workers()
        if not workers:
            return None
        pid = workers[int(share * len(workers))]
        _signal(pid, number)
        return pid

    def _reload(self) -> None:
        self._service.signal(signal.SIGHUP)

    def _kill_database(self) -> None:
        self._away(lambda database: database.kill(signal.SIGKILL),
                   lambda database: database.start(), _DATABASE_AWAY_S)  # fmt: skip

    def _stop_database(self) -> None:
        self._away(lambda database: database.kill(signal.SIGSTOP),
                   lambda database: database.kill(signal.SIGCONT), _DATABASE_STOPPED_S)  # fmt: skip

    def _away(
        self,
        begin: Callable[[DemoServer], None],
        end: Callable[[DemoServer], None],
        range_s: tuple[float, float],
    ) -> None:
        if self._database is None:
            return
        half_s = self._draw.uniform(*range_s) / 2
        both = self._draw.random() < _BOTH
        begin(self._database)
        self._enough.wait(half_s)
        if both:
            self.done[KILL_WORKER] += 1
            self._kill_worker()
        self._enough.wait(half_s)
        end(self._database)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
