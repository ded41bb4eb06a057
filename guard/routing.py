"""Which lane a request belongs to, told from its environ alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

Environ = dict[str, Any]

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def lane_of_method(environ: Environ) -> Lane:
    """Return READ for GET, HEAD and OPTIONS, WRITE for every other method."""
    return Lane.READ if environ["REQUEST_METHOD"] in _READING_METHODS else Lane.WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The operator's and the developer's rules, asked in this order.

    Attributes:
        exempt_paths: paths that need no database and are never shed; a trailing ``*``
            matches any rest.
        read_routes: ``METHOD /path`` that reads although its method writes; ``*`` as above.
        write_routes: the reverse.
        classify: the developer's own answer for what is left; None = exempt.
    """

    exempt_paths: tuple[str, ...] = ()
    read_routes: tuple[str, ...] = ()
    write_routes: tuple[str, ...] = ()
    classify: Callable[[Environ], Lane | None] = lane_of_method

    def lane_of(self, environ: Environ) -> Lane | None:
        """Return the request's lane, or None where it is exempt."""
        path = environ.get("PATH_INFO", "")
        if _matches(self.exempt_paths, path):
            return None
        if self.read_routes or self.write_routes:
            route = f"{environ['REQUEST_METHOD']} {path}"
            if _matches(self.read_routes, route):
                return Lane.READ
            if _matches(self.write_routes, route):
                return Lane.WRITE
        return self.classify(environ)


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    for pattern in patterns:
        if pattern == text or (pattern[-1:] == "*" and text.startswith(pattern[:-1])):
            return True
    return False
