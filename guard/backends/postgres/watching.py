"""A thread that looks at a server again and again, and its connection."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from guard.backends.postgres.watchdog import Watchdog
    from guard.clock import Clock

T = TypeVar("T")


class Line:
    """A connection of one thread's own for short questions; made at the first one.

    Args:
        connect: makes it; called again after it was lost.
        answer_s: longest time for the answers to one question, seconds.
        watchdog: ends a question to a frozen server.
        clock: tells when.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        answer_s: float,
        watchdog: Watchdog,
        clock: Clock,
    ) -> None:
        self._connect = connect
        self._answer_s = answer_s
        self._watchdog = watchdog
        self._clock = clock
        self._connection: psycopg.Connection[Any] | None = None

    def ask(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Return what ``question`` returns.

        Raises:
            psycopg.Error: there is no connection, or no answer in time.
        """
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        deadline_s = self._clock.now_s() + self._answer_s
        watch = self._watchdog.arm(self._connection.pgconn.socket, deadline_s)
        try:
            return question(self._connection)
        finally:
            self._watchdog.disarm(watch)

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Watching:
    """A thread that looks until it is stopped.

    Whatever goes wrong the next look comes, on a new connection: nobody else looks. A process that
    is out of file descriptors gets errors that are not the driver's.

    Args:
        name: the thread's.
        line: closed where a look failed, and in the end.
        look: looks once, and returns the time until the next look, seconds.
        missed: hears why a look failed, and returns the same.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        look: Callable[[], float],
        missed: Callable[[Exception], float],
    ) -> None:
        self._line = line
        self._look_once = look
        self._missed = missed
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread, after at most ``timeout_s``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                pause_s = self._look_once()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next look must come
                self._line.close()
                pause_s = self._missed(error)
        self._line.close()
