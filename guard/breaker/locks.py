"""Locks that one process of the host holds at a time, and that the kernel frees when it dies."""

from __future__ import annotations

import fcntl
import os
from threading import Event, Lock
from typing import Final
from weakref import WeakSet, finalize

_PAUSE_S: Final = 0.0005


class Locks:
    """Numbered locks, each held by one owner at a time. Thread-safe; nothing here blocks long.

    The file's locks are ``fcntl`` record locks, one byte each. They belong to a process, not
    to a descriptor: a descriptor that came through a fork excludes its parent all the same,
    and the kernel frees them at any death. They don't exclude the threads of one process; that
    is what the set of held numbers does. (A ``flock`` would be shared by all forked processes,
    and a ``multiprocessing`` lock stays locked when its holder is killed.)

    They also go when the process closes *any* descriptor of the file, so the file must have no
    name under which somebody could open it: an anonymous one.

    Args:
        descriptor: an open file without a name; None where this process is alone.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._held: set[int] = set()
        self._guard = Lock()
        self._pause = Event()
        _ALL.add(self)

    @classmethod
    def shared(cls) -> Locks:
        """Return locks for this process and all that are forked from it afterwards.

        The file has no name, so nobody else can open it, and no exec inherits it.

        Raises:
            OSError: no file can be had.
        """
        descriptor = os.memfd_create("guard-locks", os.MFD_CLOEXEC)
        locks = cls(descriptor)
        finalize(locks, os.close, descriptor)
        return locks

    def take(self, number: int, wait_s: float = 0.0) -> bool:
        """Take a lock; return whether it was had.

        Args:
            number: which one, >= 0.
            wait_s: how long to try, seconds. A stopped process can hold a lock for any time.
        """
        for _ in range(1 + int(wait_s / _PAUSE_S)):
            if self._take(number):
                return True
            if wait_s > 0:
                self._pause.wait(_PAUSE_S)
        return False

    def _take(self, number: int) -> bool:
        with self._guard:
            if number in self._held:
                return False
            if self._descriptor is not None:
                try:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                except OSError:
                    return False
            self._held.add(number)
            return True

    def free(self, number: int) -> None:
        """Give a lock back; nothing where this process does not hold it."""
        with self._guard:
            if number not in self._held:
                return
            if self._descriptor is not None:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)
            self._held.discard(number)

    def _after_fork(self) -> None:
        # The parent's locks are not the child's, and its guard may have been held.
        self._held = set()
        self._guard = Lock()


_ALL: WeakSet[Locks] = WeakSet()


def _leave_locks() -> None:
    for locks in list(_ALL):
        locks._after_fork()  # noqa: SLF001 - a friend of the class


os.register_at_fork(after_in_child=_leave_locks)
