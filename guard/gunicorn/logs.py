"""Where log lines go in gunicorn's processes, and in which form."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from gunicorn.glogging import Logger

from guard.export.structured import RequestContext, formatter
from guard.gunicorn import console
from guard.gunicorn.startup import settings_in_force

if TYPE_CHECKING:
    from guard.settings import Settings

_GUARD: Final = logging.getLogger("guard")
_GUNICORN: Final = ("gunicorn.error", "gunicorn.access")


class GuardLogger(Logger):  # type: ignore[misc]  # gunicorn carries no types
    """gunicorn's logger in the form that ``GUARD_LOG_FORMAT`` says, from the first line on."""

    def setup(self, cfg: Any) -> None:  # noqa: ANN401 - gunicorn's Config
        """Make gunicorn's handlers, then set them and Guard's up."""
        super().setup(cfg)
        set_up(settings_in_force())


def set_up(settings: Settings) -> None:
    """Write log lines to stderr as the settings say; again where they have changed.

    The handler takes the place of the standard library's last resort: it writes what no other
    handler takes. So an application that configures logging of its own gets Guard's lines too,
    and nothing is written twice.

    Args:
        settings: the settings in force.
    """
    structured = settings.log_format == "json"
    form = formatter(settings.log_format)
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    handler.addFilter(RequestContext())
    logging.lastResort = handler
    _GUARD.setLevel(settings.log_level.upper())
    console.use_log(structured=structured)
    for name in _GUNICORN if structured else ():
        for own in logging.getLogger(name).handlers:
            own.setFormatter(form)
