"""What gunicorn's arbiter holds for the whole host: board, rows, status, admin listener."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from guard.admin import AdminApp, AdminListener, WorkerState
from guard.board import Board
from guard.export.host import guard_version
from guard.gunicorn.queues import HostSource
from guard.settings.forms import is_loopback
from guard.status import Keeper
from guard.watches.locks import all_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.events import Recorder
    from guard.gunicorn.live import Publisher
    from guard.settings import Settings
    from guard.settings.load import Loaded

OFF: Final = "off"


class Arbiter:
    """Lives in an imported module, since a reload executes the configuration file anew.

    The arbiter's main thread alone changes it; the admin listener's threads read.

    Args:
        loaded: the settings at the start.
        listeners: gives gunicorn's listeners.

    Attributes:
        settings: the settings of the workers that start from now on.
        listener: the admin listener, or None where it is off.
        live: follows the settings' file; None where nothing does.
    """

    def __init__(self, loaded: Loaded, listeners: Callable[[], Sequence[object]] = tuple) -> None:
        self._loaded = loaded
        self.settings = settings = loaded.settings
        # A reload starts all new workers before it stops the old ones, and some may linger.
        self._rows_max = 2 * settings.workers + 8
        self._board = Board.anonymous(self._rows_max)
        self._source = HostSource(self._board, listeners)
        self._rows: dict[int, int] = {}
        self._keeper: Keeper | None = None
        self.live: Publisher | None = None
        self.listener = self._make_listener(settings)

    def bind_admin(self, *, patient: bool) -> str:
        """Take the admin address; return what is wrong with it, or an empty string.

        Args:
            patient: leave the address to an older arbiter; ``start_admin`` waits for it.
        """
        if self.listener is None or patient:
            return ""
        try:
            self.listener.bind()
        except OSError as error:
            where = f"GUARD_ADMIN_BIND={self.settings.admin_bind}"
            if error.errno == errno.EADDRINUSE:
                return f"{where}: the address is in use by another process"
            return f"{where}: {error.strerror}"
        return ""

    def start_admin(self) -> None:
        """Start to answer on the admin address."""
        if self._keeper is not None and self.listener is not None:
            self._keeper.start()
            self.listener.start()

    def _in_force(self) -> Loaded:
        return self._loaded if self.live is None else self.live.loaded

    def reload(self, loaded: Loaded) -> None:
        """Give other settings to the workers that start from now on."""
        self._loaded = loaded
        self.settings = loaded.settings
        if self._keeper is not None:
            self._keeper.reloaded()

    @property
    def admin_address(self) -> str:
        """Where the admin listener is or will be, ``host:port``; empty where it is off."""
        if self.listener is None:
            return ""
        host, port = self.listener.host, self.listener.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def reserve(self, age: int) -> int | None:
        """Give the worker that is about to be forked a row; None where all are taken.

        Args:
            age: gunicorn's serial number of the worker.
        """
        taken = set(self._rows.values())
        free = (row for row in range(self._rows_max) if row not in taken)
        row = next(free, None)
        if row is not None:
            self._rows[age] = row
        return row

    def claim(self, age: int) -> Recorder:
        """Return the recorder of this worker's row; in the worker.

        Without a row the measurements go nowhere but to the worker itself.
        """
        row = self._rows.get(age)
        if row is None:
            return Board.local()[1]
        return self._board.claim(row, os.getpid())

    def retire(self, age: int) -> bool:
        """Fold a dead worker's row into the totals and free it; return whether it had one."""
        row = self._rows.pop(age, None)
        if row is not None:
            self._board.retire(row)
        return row is not None

    def sweep(self, living: Iterable[int]) -> None:
        """Retire the rows of all workers but the living ones.

        Args:
            living: the living workers' serial numbers.
        """
        for age in set(self._rows) - set(living):
            self.retire(age)

    def workers(self) -> list[WorkerState]:
        """Return the state of each worker that has claimed a row."""
        return [WorkerState(one.pid, one.ready) for one in self._board.workers()]

    def lock_waits(self) -> list[dict[str, Any]]:
        """Return who waits for a lock in any worker, the longest first; see ``LockWait``."""
        return all_waits(self._board.notes().values())

    def _make_listener(self, settings: Settings) -> AdminListener | None:
        if settings.admin_bind == OFF:
            return None
        host, _, port = settings.admin_bind.rpartition(":")
        self._keeper = Keeper(
            self._board, self._in_force, totals=self._source,
            lock_waits=self.lock_waits, version=guard_version(),
        )  # fmt: skip
        app = AdminApp(
            self._source, self.workers, self.lock_waits, status=self._keeper,
            token=settings.admin_token, local=is_loopback(settings.admin_bind),
        )  # fmt: skip
        return AdminListener(host.strip("[]"), int(port), app)
