"""What a worker does while its host has no descriptor, memory or thread for another connection.

gthread lets the error end the worker, and with it every request under way. To try to accept again
at once would be no better: the listener stays readable, so the loop would spin.
"""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""accept(2): no descriptor in the process, none in the system, no memory."""
REST_S: Final = 0.1
"""How long no connection is accepted then, at least; the loop looks once a second, or oftener."""
TOLD_S: Final = 10.0
"""A shortage that goes on is told so often."""


class Shortage:
    """Whether accepting rests, and what is told of a shortage. For the accepting loop alone.

    Args:
        log: hears of it.
        now_s: a monotonic clock, seconds.
    """

    def __init__(self, log: Logger, now_s: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._now_s = now_s
        self._until_s = self._told_s = float("-inf")

    @property
    def lasts(self) -> bool:
        """Whether no connection should be accepted now."""
        return self._now_s() < self._until_s

    def begin(self, error: OSError) -> None:
        """Rest from now on; connections wait in the kernel's queue meanwhile."""
        self._until_s = self._now_s() + REST_S
        self.tell(f"no connection can be accepted, trying again: {error.strerror}")

    def tell(self, what: str) -> None:
        """Say in the log what is short, now and then."""
        now_s = self._now_s()
        if now_s - self._told_s >= TOLD_S:
            self._told_s = now_s
            self._log.error(what)


class Threads(ThreadPoolExecutor):
    """A thread pool that goes on with the threads it has where no more can be started.

    Where it has none at all, ``submit`` raises ``RuntimeError``.

    Args:
        most: how many threads it may start, >= 1.
        shortage: hears of it where it can't.
    """

    def __init__(self, most: int, shortage: Shortage) -> None:
        super().__init__(max_workers=most)
        self._shortage = shortage

    def _adjust_thread_count(self) -> None:
        # It is called when the work is queued already: any thread will take it.
        try:
            super()._adjust_thread_count()  # private, and there since Python 3.2
        except RuntimeError as error:
            if not self._threads:
                raise
            self._shortage.tell(f"no thread can be started, going on without it: {error}")
