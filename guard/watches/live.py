"""Takes over, in a worker, the live settings that were read for the whole host."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from guard import metrics
from guard.errors import SettingsError
from guard.settings.live import News, adopt, live_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from guard.events import Recorder
    from guard.settings import Settings

PART: Final = "settings"
"""The part of the arbiter's note that holds the news."""

log = logging.getLogger("guard.settings")


class Readable(Protocol):
    """A document; ``guard.board.Note`` is one."""

    def read(self) -> Mapping[str, Any]:
        """Return the document; an empty one where there is none."""
        ...


def news_in(note: Readable) -> News | None:
    """Return the news in a note; None where there is none, or it is being written."""
    found = note.read().get(PART)
    return None if found is None else News(*found)


class LiveWatch:
    """Applies each generation of the settings once, and publishes which one is in force.

    Args:
        settings: the worker's at its start.
        news: tells what was last read; None where that can't be told now.
        apply: puts settings into force; never blocks.
        recorder: takes the gauges.
    """

    def __init__(
        self,
        settings: Settings,
        news: Callable[[], News | None],
        apply: Callable[[Settings], None],
        recorder: Recorder,
    ) -> None:
        self._settings = settings
        self._news = news
        self._apply = apply
        self._record = recorder
        self._told: News | None = None

    def __call__(self, _now_s: float) -> None:
        """Look once."""
        news = self._news()
        if news is None or news == self._told:
            return
        self._told = news
        if self._takes(news):
            self._record.set(metrics.CONFIG_GENERATION, (), news.generation)
        self._record.set(metrics.CONFIG_SUCCESSFUL, (), float(news.successful))
        self._record.set(metrics.CONFIG_LOADED, (), news.loaded_at_s)
        self._record.set(metrics.CONFIG_WAITING, (), len(news.waiting))

    def _takes(self, news: News) -> bool:
        if news.texts == live_texts(self._settings):
            return True
        try:
            self._settings = adopt(self._settings, news.texts)
        except SettingsError as error:
            # After a reload the older workers, which go away, may be too small for them.
            log.info("this worker keeps its settings: %s", "; ".join(map(str, error.problems)))
            return False
        self._apply(self._settings)
        return True
