"""Which process owns a database file: a lock beside the file, and what a fork must not do.

The engine's own lock belongs to the *process* and is lost as soon as any descriptor of the
database file is closed anywhere in it; a second process could then open the file and destroy
it. So the file is never opened by hand, and a lock of our own is held on a file beside it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from guard.errors import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Protocol

    class Forked(Protocol):
        """Something that holds what a forked child must not touch."""

        def after_fork(self) -> None:
            """Make this copy harmless."""
            ...


SUFFIX: Final = ".owner"
_PID_BYTES: Final = 32

_live: WeakSet[Forked] = WeakSet()


class Owner:
    """The lock on ``<database file>.owner``. Not thread-safe.

    Args:
        database: the database file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock, or raise.

        Raises:
            BackendFailed: another process has it, or the directory can't be used; the message
                is one line for people.
        """
        folder = self._database.parent
        if not folder.is_dir():
            raise BackendFailed(f"the directory {folder} does not exist")
        name = f"{self._database}{SUFFIX}"
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BackendFailed(f"{name} can't be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, _PID_BYTES, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise BackendFailed(
                f"another process{f' (pid {holder})' if holder else ''} has {self._database} open; "
                "a DuckDB file belongs to one process at a time"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The file stays: to remove it would race with the next owner."""
        if self._descriptor >= 0:
            # In a forked child this leaves the parent's lock as it is: it ends with the last
            # copy of the descriptor.
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def watch_forks(thing: Forked) -> None:
    """Have ``thing.after_fork`` called in every child that is forked while it lives."""
    _live.add(thing)


def leak(things: Iterable[object]) -> None:
    """Keep ``things`` from ever being destroyed in this process.

    A child that ends in the ordinary way would otherwise close its copy of the parent's
    database: write a checkpoint into the file and remove the log of later commits.
    """
    for thing in things:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork() -> None:
    for thing in list(_live):
        thing.after_fork()


os.register_at_fork(after_in_child=_after_fork)
