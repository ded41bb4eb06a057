"""Settings that change while the service runs: a watched file, checked as a whole."""

from __future__ import annotations

import logging
import os
from dataclasses import fields, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.clock import wall_s
from guard.errors import BadSetting, SettingsError
from guard.settings.forms import Unfit
from guard.settings.load import load
from guard.settings.model import Settings, specs
from guard.settings.rules import broken
from guard.settings.sources import CONFIG_FILE, Source
from guard.settings.values import convert, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.settings.load import Loaded

LOOK_EVERY_S: Final = 0.4
"""How often the file is to be looked at; a change is taken once two looks saw the same."""

log = logging.getLogger("guard.settings")

_Signature = tuple[int, int, int] | None


class News(NamedTuple):
    """What was last read, as it goes from the process that reads to those that follow.

    Attributes:
        generation: number of the settings in force; 1 at the start.
        successful: whether the last reading was right; where not, the older ones are in force.
        loaded_at_s: when a reading was last right, seconds since 1970.
        waiting: variables that were changed in the file and need new workers.
        texts: by field what each live setting is.
    """

    generation: int
    successful: bool
    loaded_at_s: float
    waiting: tuple[str, ...]
    texts: Mapping[str, str]


class Merged(NamedTuple):
    """What becomes of the settings in force when others are wanted.

    Attributes:
        settings: the live ones as wanted, all else as it was.
        changed: variables that take effect.
        waiting: variables that do not, before there are new workers.
    """

    settings: Settings
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def live_texts(settings: Settings) -> dict[str, str]:
    """Return the live settings by field, each as its variable would hold it."""
    return {
        field: text_of(field, spec, getattr(settings, field))
        for field, spec in specs().items()
        if spec.reload == "live"
    }


def adopt(settings: Settings, texts: Mapping[str, str]) -> Settings:
    """Return the settings with other values of the live ones; checked as a whole.

    Raises:
        SettingsError: they do not go together with the rest.
    """
    table = specs()
    problems, values = [], {}
    for field, text in texts.items():
        try:
            values[field] = convert(field, table[field], text)
        except Unfit as unfit:
            problems.append(BadSetting(table[field].env, text, unfit.allowed, unfit.hint))
    if not problems:
        settings = replace(settings, **values)  # type: ignore[arg-type]
        problems = list(broken(_values(settings), ()))
    if problems:
        raise SettingsError(problems)
    return settings


def merge(old: Loaded, new: Loaded) -> Merged:
    """Return what of the new settings can take effect at once.

    A size that nobody gave follows from the others. It is no change that needs a restart, and
    while one of those that it follows from waits for a restart it stays as it was.

    Raises:
        SettingsError: the live ones do not go together with those that stay.
    """
    differing = [
        each.name
        for each in fields(Settings)
        if getattr(old.settings, each.name) != getattr(new.settings, each.name)
    ]
    given = [field for field in differing if not _is_derived(field, old, new)]
    waiting = [field for field in given if specs()[field].reload == "restart"]
    taken = [
        field
        for field in (given if waiting else differing)
        if specs()[field].reload == "live"
    ]  # fmt: skip
    settings = replace(old.settings, **{field: getattr(new.settings, field) for field in taken})
    problems = list(broken(_values(settings), ()))
    if problems:
        why = "together with what needs a restart, and stays until then"
        raise SettingsError(
            [replace(each, hint=f"{each.hint}, {why}".strip(", ")) for each in problems]
        )
    return Merged(settings, _names(taken), _names(waiting))


def _is_derived(field: str, old: Loaded, new: Loaded) -> bool:
    return old.sources[field] is new.sources[field] is Source.DERIVED


def _names(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(specs()[field].env for field in found)


def _values(settings: Settings) -> dict[str, Any]:
    return {each.name: getattr(settings, each.name) for each in fields(Settings)}


def file_signature(path: str) -> _Signature:
    """Return what changes when the file is written or replaced; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class LiveFile:
    """Follows the file that ``GUARD_CONFIG_FILE`` names. Thread-safe.

    Without one, what it tells never changes but by ``renewed``.

    Args:
        loaded: the settings at the start.
        read: reads them anew, as they were read at the start.
        path: the file; where None, the one of this process's environment.
    """

    def __init__(
        self,
        loaded: Loaded,
        read: Callable[[], Loaded] = load,
        *,
        path: str | None = None,
    ) -> None:
        self._read = read
        self._path = os.environ.get(CONFIG_FILE, "").strip() if path is None else path
        self._lock = Lock()
        # Guarded by _lock.
        self._loaded = loaded
        self._news = News(1, True, wall_s(), (), live_texts(loaded.settings))  # noqa: FBT003
        self._taken = self._seen = file_signature(self._path)

    @property
    def watches(self) -> bool:
        """Whether there is a file."""
        return bool(self._path)

    @property
    def loaded(self) -> Loaded:
        """The settings in force, and where each comes from."""
        return self._loaded

    def __call__(self) -> News:
        """Look at the file, take it where it has changed, and return what is in force."""
        with self._lock:
            if self._path and self._settled():
                self._take()
            return self._news

    def _settled(self) -> bool:
        # An editor may be writing it just now: a change counts once it has stood still.
        before, self._seen = self._seen, file_signature(self._path)
        return self._seen != self._taken and self._seen == before

    def _take(self) -> None:
        self._taken = self._seen
        try:
            new = self._read()
            merged = merge(self._loaded, new)
        except SettingsError as error:
            self._refuse(error)
            return
        if merged.waiting != self._news.waiting and merged.waiting:
            names = ", ".join(merged.waiting)
            extra = {"guard_event": "settings_waiting", "guard_changed": list(merged.waiting)}
            log.warning("changed settings need a reload or a restart: %s", names, extra=extra)
        # What waits keeps its old source too: it is compared with once more at the next change.
        live = {field for field, spec in specs().items() if spec.reload == "live"}
        sources = {
            field: (new if field in live or not merged.waiting else self._loaded).sources[field]
            for field in new.sources
        }
        self._accept(type(new)(merged.settings, sources), merged.changed, merged.waiting)

    def _accept(
        self, loaded: Loaded, changed: tuple[str, ...], waiting: tuple[str, ...] = ()
    ) -> None:
        self._loaded = loaded
        generation = self._news.generation + bool(changed)
        texts = live_texts(loaded.settings)
        self._news = News(generation, True, wall_s(), waiting, texts)  # noqa: FBT003
        # A file that was only touched is no news to anybody.
        log.log(
            logging.INFO if changed else logging.DEBUG,
            "settings read, generation %d, changed: %s", generation, ", ".join(changed) or "none",
            extra={
                "guard_event": "settings", "guard_generation": generation,
                "guard_changed": list(changed),
            },
        )  # fmt: skip

    def _refuse(self, error: SettingsError) -> None:
        self._news = self._news._replace(successful=False)
        told = "; ".join(map(str, error.problems))
        log.error(
            "settings not taken, those of generation %d stay: %s", self._news.generation, told,
            extra={"guard_event": "settings_refused", "guard_problems": told},
        )  # fmt: skip

    def renewed(self, loaded: Loaded | None) -> None:
        """Hear of settings that new workers start with, whatever they need.

        Args:
            loaded: what was read; None where it was wrong, which has been told already.
        """
        with self._lock:
            if loaded is None:
                self._news = self._news._replace(successful=False)
                return
            changed = [
                each.name
                for each in fields(Settings)
                if getattr(loaded.settings, each.name) != getattr(self._loaded.settings, each.name)
            ]
            self._accept(loaded, _names(changed))
