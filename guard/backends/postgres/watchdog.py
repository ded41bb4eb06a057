"""Cuts the sockets of units that are past their deadline.

A server that is frozen, or gone behind a dead network, answers neither a time-out of its own
nor a cancel request; only shutting the socket down ends the call that waits on it.
"""

from __future__ import annotations

import math
import socket
from contextlib import suppress
from threading import Condition, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.clock import Clock


class Watch:
    """One watched socket.

    Attributes:
        cut: whether the socket was shut down.
        place: the server that it leads to; empty where nobody asks.
    """

    __slots__ = ("cut", "deadline_s", "descriptor", "place")

    def __init__(self, descriptor: int, deadline_s: float, place: str) -> None:
        self.descriptor = descriptor
        self.deadline_s = deadline_s
        self.place = place
        self.cut = False


class Watchdog:
    """A thread that shuts down every armed socket whose deadline has passed. Thread-safe.

    Args:
        clock: deadlines are in its time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = Condition()
        # Guarded by _changed.
        self._armed: set[Watch] = set()
        self._wake_s = math.inf
        self._stopped = False
        self._thread = Thread(target=self._run, name="guard-postgres-watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def arm(self, descriptor: int, deadline_s: float, place: str = "") -> Watch:
        """Watch a socket until ``disarm``; ``deadline_s`` may be infinite.

        Args:
            descriptor: the socket's.
            deadline_s: when to cut it, in the clock's time.
            place: the server that it leads to, for ``cut_place``.
        """
        watch = Watch(descriptor, deadline_s, place)
        with self._changed:
            self._armed.add(watch)
            # Deadlines mostly come in order: the thread is rarely woken for a new one.
            if deadline_s < self._wake_s:
                self._changed.notify()
        return watch

    def disarm(self, watch: Watch) -> bool:
        """Watch no more; return whether the socket was cut. The socket must still be open."""
        with self._changed:
            self._armed.discard(watch)
        return watch.cut

    def cut_place(self, place: str) -> None:
        """Cut every armed socket that leads to a server."""
        with self._changed:
            for watch in [one for one in self._armed if one.place == place]:
                _cut(watch)
                self._armed.discard(watch)

    def cut_all(self) -> None:
        """Cut every armed socket now."""
        with self._changed:
            for watch in self._armed:
                _cut(watch)
            self._armed.clear()

    def stop(self) -> None:
        """End the thread; nothing is cut any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                now_s = self._clock.now_s()
                for watch in [one for one in self._armed if one.deadline_s <= now_s]:
                    # Under the lock: after disarm the number may belong to another socket.
                    self._armed.discard(watch)
                    _cut(watch)
                self._wake_s = min((one.deadline_s for one in self._armed), default=math.inf)
                wait_s = self._wake_s - now_s
                self._changed.wait(None if math.isinf(wait_s) else wait_s)


def _cut(watch: Watch) -> None:
    watch.cut = True
    # An error: it has gone. No duplicate is made, since the process may have no descriptor left.
    with suppress(OSError):
        borrowed = socket.socket(fileno=watch.descriptor)
        try:
            borrowed.shutdown(socket.SHUT_RDWR)
        finally:
            borrowed.detach()
