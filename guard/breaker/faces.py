"""What shows a lane's breaker to code that knows pybreaker, made when it is first asked for.

Wherever Redis' client is installed pybreaker loads that too, and with it more than all of Guard: a
third of a worker's start and a good part of its memory. Most workers need neither.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.breaker.view import Shown, Storage, View
    from guard.core.vocabulary import BreakerPhase


class Faces:
    """A breaker's view and its storage. Thread-safe.

    Args:
        shown: the breaker.
        name: the lane.
        open_s: the first pause before a probe, seconds.
    """

    def __init__(self, shown: Shown, name: str, open_s: float) -> None:
        self._shown = shown
        self._name = name
        self._open_s = open_s
        # Guards the making of both, so that there is one of each.
        self._lock = Lock()
        self._view: View | None = None
        self._storage: Storage | None = None

    @property
    def view(self) -> View:
        """The ``pybreaker.CircuitBreaker``."""
        with self._lock:
            if self._view is None:
                from guard.breaker.view import View

                self._view = View(self._shown, self._name, self._open_s)
            return self._view

    @property
    def storage(self) -> Storage:
        """The storage for other breakers."""
        with self._lock:
            if self._storage is None:
                from guard.breaker.view import Storage

                self._storage = Storage(self._shown, self._name)
            return self._storage

    def configure(self, open_s: float) -> None:
        """Show another pause from now on."""
        with self._lock:
            self._open_s = open_s
            if self._view is not None:
                self._view.reset_timeout = open_s

    def tell(self, before: BreakerPhase, after: BreakerPhase) -> None:
        """Tell the view's listeners of a change; without a view there are none."""
        if self._view is not None:
            self._view.tell(before, after)
