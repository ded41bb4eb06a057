"""Opens a backend in the background, again and again until it works."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from guard.backends.postgres.errors import one_line
from guard.errors import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.backends.postgres.pools import LanePool
    from guard.clock import Clock

LOOK_S: Final = 0.02

_FIRST_PAUSE_S: Final = 0.1
_LAST_PAUSE_S: Final = 2.0

log = logging.getLogger("guard.postgres")


class Opening:
    """A thread that waits for connections, has the database prepared, and ends.

    Args:
        pools: the pools, already connecting.
        timeout_s: how long they may take before the reason is told, seconds.
        prepare: prepares the database; None where there is nothing to do.
        opened: called once it is open.
        clock: measures the time.

    Attributes:
        error: why the last attempt failed, one line; empty while there was none.
    """

    def __init__(
        self,
        pools: Sequence[LanePool],
        timeout_s: float,
        prepare: Callable[[], None] | None,
        opened: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.error = ""
        self._pools = pools
        self._timeout_s = timeout_s
        self._prepare = prepare
        self._opened = opened
        self._clock = clock
        self._stop = Event()
        self._thread = Thread(target=self._run, name="guard-postgres-opener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def give_up(self) -> None:
        """Begin no further attempt."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                self._await_connections()
                if self._prepare is not None:
                    self._prepare()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is tried again
                self._failed(error)
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
            else:
                self.error = ""
                self._opened()
                return

    def _failed(self, error: Exception) -> None:
        text = one_line(error)
        if text != self.error:
            log.warning("the database could not be opened, trying again: %s", text)
        self.error = text

    def _await_connections(self) -> None:
        deadline_s = self._clock.now_s() + self._timeout_s
        while any(pool.live < pool.size_max for pool in self._pools):
            for pool in self._pools:
                if not pool.live and pool.error:
                    raise BackendFailed(pool.error)
            if self._clock.now_s() >= deadline_s or self._stop.is_set():
                break
            self._stop.wait(LOOK_S)
        if not all(pool.live for pool in self._pools):
            raise BackendFailed("the server takes the connection and does not answer")
