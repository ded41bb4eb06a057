"""The settings' file under gunicorn: the arbiter reads it once for all workers."""

from __future__ import annotations

import logging
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from guard.board.notes import Notes
from guard.settings.live import LOOK_EVERY_S
from guard.watches.live import PART, news_in

if TYPE_CHECKING:
    from guard.settings import Loaded
    from guard.settings.live import LiveFile, News

_GUARD = logging.getLogger("guard")
log = logging.getLogger("guard.settings")


class Publisher:
    """Reads in the arbiter; its workers read what it found in memory that they share.

    So a wrong file is told once, and all workers have the same settings under the same number,
    those too that start later.

    Args:
        live: follows the file.
    """

    def __init__(self, live: LiveFile) -> None:
        self._live = live
        self._note = Notes(1).note(0)
        # Never taken after a fork: the child's copy may be held by a thread that it has not.
        self._lock = Lock()
        self._ended = Event()
        self.publish()

    @property
    def loaded(self) -> Loaded:
        """The settings in force, and where each comes from."""
        return self._live.loaded

    def news(self) -> News | None:
        """Return what was last read; in any process."""
        return news_in(self._note)

    def start(self) -> None:
        """Look at the file from now on, where there is one."""
        if self._live.watches:
            Thread(target=self._watch, name="guard-settings", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def publish(self) -> None:
        """Look once."""
        with self._lock:
            self._note.put(PART, self._live())
        _GUARD.setLevel(self.loaded.settings.log_level.upper())

    def renewed(self, loaded: Loaded | None) -> None:
        """Hear of a reload; see ``LiveFile.renewed``."""
        self._live.renewed(loaded)
        self.publish()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.publish()
            except Exception:
                # The next look may do better; without the thread no change would ever be seen.
                log.exception("the settings' file could not be looked at")
