"""From the environment to an arbiter that may start, or to one clear line and an exit status."""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn, cast

from guard.errors import SettingsError
from guard.gunicorn import preflight
from guard.gunicorn.arbiter import Arbiter
from guard.gunicorn.connections import postgres_room
from guard.gunicorn.console import tell
from guard.gunicorn.context import become_arbiter
from guard.gunicorn.ending import MARGIN_S
from guard.gunicorn.live import Publisher
from guard.settings import load
from guard.settings.live import LiveFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.gunicorn.kinds import Server
    from guard.settings import Settings
    from guard.settings.load import Loaded

EXIT_CONFIG: Final = os.EX_CONFIG
"""Exit status (78) where a setting is wrong."""
EXIT_UNAVAILABLE: Final = os.EX_UNAVAILABLE
"""Exit status (69) where a port or the database can't be had."""


class _InForce:
    """The settings that this process last found right."""

    loaded: Loaded | None = None
    right = True
    """Whether the last reading was right."""


def settings_or_exit() -> Settings:
    """Return the settings of the environment, for use in a gunicorn configuration file.

    Every bad setting is told on stderr. At the start the process then exits with status 78; in
    a reload the settings in force stay.
    """
    become_arbiter()
    try:
        _InForce.loaded, _InForce.right = load(), True
    except SettingsError as error:
        tell(*map(str, error.problems))
        if _InForce.loaded is None:
            raise SystemExit(EXIT_CONFIG) from error
        _InForce.right = False
        tell("the reload keeps the settings that were in force")
    return _InForce.loaded.settings


def loaded_in_force() -> Loaded:
    """Return the settings that the configuration file last read, or read them now."""
    if _InForce.loaded is None:
        settings_or_exit()
    return cast("Loaded", _InForce.loaded)


def settings_in_force() -> Settings:
    """Return the settings alone of ``loaded_in_force``."""
    return loaded_in_force().settings


def last_read() -> Loaded | None:
    """Return the settings as this process last read them; None where they were wrong."""
    return _InForce.loaded if _InForce.right else None


def graceful_timeout_s(settings: Settings) -> int:
    """Return gunicorn's ``graceful_timeout``: a request admitted at the last moment can end."""
    return math.ceil(settings.deadline_s) + MARGIN_S + 1


def start(server: Server) -> Arbiter:
    """Look at everything that can be seen beforehand, and take the admin address.

    Where something is wrong, each problem is told in one line and the process exits: with
    status 78 where a setting has to change, 69 where something can't be had at the moment.
    """
    loaded = loaded_in_force()
    try:
        _refuse(server, EXIT_CONFIG, preflight.configuration(loaded.settings, server.cfg))
        return _start(server, loaded)
    except KeyboardInterrupt:
        _leave(server, 128 + signal.SIGINT)


def _start(server: Server, loaded: Loaded) -> Arbiter:
    settings = loaded.settings
    # An older arbiter that was told to start this one (USR2) still serves: what it holds is
    # taken over, not missing.
    upgrade = "GUNICORN_PID" in os.environ
    problems = [] if upgrade else list(preflight.ports(settings, server.cfg))
    file = preflight.duckdb_file(settings.database_url)
    if file is not None:
        problems += preflight.duckdb_directory(file)
        problems += [] if upgrade else preflight.duckdb_lock(file)
    _refuse(server, EXIT_UNAVAILABLE, problems)
    if settings.database_url and file is None:
        room = postgres_room(settings)
        _refuse(server, EXIT_CONFIG, [room.refuse] if room.refuse else [])
        if room.warn:
            tell(f"warning: {room.warn}")
    arbiter = Arbiter(loaded, lambda: server.LISTENERS)
    arbiter.live = Publisher(LiveFile(loaded))
    problem = arbiter.bind_admin(patient=upgrade)
    _refuse(server, EXIT_UNAVAILABLE, [problem] if problem else [])
    return arbiter


def _refuse(server: Server, status: int, problems: Iterable[str]) -> None:
    told = list(problems)
    if told:
        tell(*told)
        _leave(server, status)


def _leave(server: Server, status: int) -> NoReturn:
    if server.pidfile is not None:
        server.pidfile.unlink()
    raise SystemExit(status)
