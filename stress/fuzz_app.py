"""The application that the fuzzer talks to; gunicorn runs it, behind the guard or without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.assembly import assemble
from guard.gunicorn import current_worker
from guard.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNREAD = "/unread"
"""A path that begins so leaves the request's body alone."""


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with what was asked: method, path, query and the length of the body."""
    path = environ.get("PATH_INFO", "")
    size = "unread" if path.startswith(UNREAD) else str(len(environ["wsgi.input"].read()))
    asked = (environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), size)
    body = "\n".join(asked).encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def plain() -> Callable[..., Iterable[bytes]]:
    """Return the application as it is."""
    return app


def guarded() -> Callable[..., Iterable[bytes]]:
    """Return it behind the guard, whole requests holding permits."""
    worker = current_worker()
    if worker is None:
        return assemble(load().settings).wrap(app)
    assembly = assemble(load().settings, recorder=worker.recorder)
    guard = assembly.wrap(app)
    worker.gate = guard
    return guard
