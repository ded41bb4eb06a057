"""The classes that a worker's guard is made of: the plain ones, or their traced twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.database import Database
from guard.errors import BadSetting, SettingsError
from guard.middleware import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.events import PoolObserver
    from guard.settings import Settings


def _itself(observer: PoolObserver) -> PoolObserver:
    return observer


class Parts(NamedTuple):
    """The classes.

    Attributes:
        guard: the middleware.
        database: the developer's door.
        observer: makes of an observer the one that backends get.
    """

    guard: type[Guard] = Guard
    database: type[Database] = Database
    observer: Callable[[PoolObserver], PoolObserver] = _itself


def parts(settings: Settings) -> Parts:
    """Return the classes that the settings ask for.

    Raises:
        SettingsError: spans are asked for, and opentelemetry is not installed.
    """
    if not settings.otel:
        return Parts()
    try:
        from guard.tracing import TracedDatabase, TracedGuard, TracedObserver
    except ImportError as error:
        hint = "pip install 'wsgi-guard[otel]'"
        raise SettingsError([BadSetting("GUARD_OTEL", "true", str(error), hint)]) from error
    return Parts(TracedGuard, TracedDatabase, TracedObserver)
