"""Which requests need the database, and whose answers are kept; told before the application."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.core.vocabulary import Lane
from service.validation import BadTermError, parse_term

if TYPE_CHECKING:
    from guard.routing import Environ

BODY_MAX_BYTES = 64 * 1024
"""Longest body that is read."""

_LOOK_UP = re.compile(r"/warrior/[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_READS = frozenset({"GET", "HEAD"})


def classify(environ: Environ) -> Lane | None:
    """Return the request's lane; None where it can be answered without the database.

    So an unknown path, a wrong method, a key that is no UUID, a search without a usable term
    and a body whose told length is too large are never shed.
    """
    path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
    if path == "/warrior":
        if method == "POST":
            return None if has_long_body(environ) else Lane.WRITE
        return Lane.READ if method in _READS and _has_term(environ) else None
    if method in _READS and (path == "/counting-warriors" or _LOOK_UP.fullmatch(path)):
        return Lane.READ
    return None


def remember(environ: Environ) -> str | None:
    """Name the answer that may be kept: a warrior, which never changes, and the number of them.

    What is no warrior yet is not kept, since only a 200 is. So a warrior is found as soon as it
    is there, and the number is late by ``GUARD_CACHE_TTL`` at most.
    """
    path = environ.get("PATH_INFO", "")
    return path.lower() if path == "/counting-warriors" or _LOOK_UP.fullmatch(path) else None


def may_wait(environ: Environ) -> bool:
    """Whether a request's write may be put off: a create, but for one with an Idempotency-Key.

    That asks for an answer that a job does not give: the first one again, or that the key is taken.
    """
    return (
        environ["REQUEST_METHOD"] == "POST"
        and environ.get("PATH_INFO") == "/warrior"
        and "HTTP_IDEMPOTENCY_KEY" not in environ
    )


def has_long_body(environ: Environ) -> bool:
    """Whether the request says that its body is longer than is read."""
    length = environ.get("CONTENT_LENGTH") or "0"
    return length.isdecimal() and int(length[:20]) > BODY_MAX_BYTES


def _has_term(environ: Environ) -> bool:
    try:
        parse_term(environ.get("QUERY_STRING", ""))
    except BadTermError:
        return False
    return True
