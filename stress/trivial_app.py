"""The trivial WSGI app whose throughput shows what the guard costs; gunicorn runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.assembly import assemble
from guard.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BODY = b"hello"
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
