"""The trivial WSGI app whose throughput shows what the guard costs; gunicorn runs it."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from guard.assembly import assemble
from guard.gunicorn import current_worker
from guard.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BODY = b"hello"
_HOLD_S = 0.05
_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer hello."""
    start_response("200 OK", list(_HEADERS))
    return [BODY]


def plain() -> Callable[..., Iterable[bytes]]:
    """Return the app as it is."""
    return app


def guarded() -> Callable[..., Iterable[bytes]]:
    """Return the app behind the guard, with no database and every request admitted."""
    return assemble(load().settings).wrap(app)


def slow() -> Callable[..., Iterable[bytes]]:
    """Return an app that holds its thread for a while, measured into the worker's row."""
    worker = current_worker()
    recorder = worker.recorder if worker is not None else None
    assembly = assemble(load().settings, recorder=recorder)

    def wait(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        Event().wait(_HOLD_S)
        return app(environ, start_response)

    return assembly.wrap(wait)
