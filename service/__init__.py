"""The reference service: a "warriors" API behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from guard.events import Recorder
    from guard.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, *, recorder: Recorder | None = None) -> Flask:
    """Return the service; see ``service.app.create_app``."""
    # Not at import: the demonstration server of this package needs neither Flask nor a driver.
    from service.app import create_app as build

    return build(settings, recorder=recorder)
