"""Which lane a request belongs to, told from its environ alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

Environ = dict[str, Any]

_READ, _WRITE = Lane.READ, Lane.WRITE
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def environ_key(header: str) -> str:
    """Return under which name a WSGI environ has a request header; empty for an empty name."""
    return f"HTTP_{header.upper().replace('-', '_')}" if header else ""


def lane_of_method(environ: Environ) -> Lane:
    """Return READ for GET, HEAD and OPTIONS, WRITE for every other method."""
    return _READ if environ["REQUEST_METHOD"] in _READING_METHODS else _WRITE


class Patterns:
    """Texts, of which those that end in ``*`` match any rest. Immutable.

    Args:
        patterns: as people write them; what is matched has a path as a WSGI environ has it.
    """

    __slots__ = ("_prefixes", "_whole")

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        # An environ has a path's bytes, each as one character (PEP 3333).
        patterns = tuple(
            pattern.encode("utf-8", "surrogateescape").decode("latin-1") for pattern in patterns
        )
        self._whole = frozenset(patterns)
        self._prefixes = tuple(pattern[:-1] for pattern in patterns if pattern[-1:] == "*")

    def __bool__(self) -> bool:
        """Whether anything can match."""
        return bool(self._whole)

    def match(self, text: str) -> bool:
        """Return whether one of them matches."""
        return text in self._whole or text.startswith(self._prefixes)


class Routing:
    """The operator's and the developer's rules, asked in this order. Immutable.

    Args:
        exempt_paths: paths that need no database and are never shed; a trailing ``*``
            matches any rest.
        read_routes: ``METHOD /path`` that reads although its method writes; ``*`` as above.
        write_routes: the reverse.
        classify: the developer's own answer for what is left; None = exempt.
    """

    __slots__ = ("_classify", "_exempt", "_read", "_write")

    def __init__(
        self,
        *,
        exempt_paths: tuple[str, ...] = (),
        read_routes: tuple[str, ...] = (),
        write_routes: tuple[str, ...] = (),
        classify: Callable[[Environ], Lane | None] = lane_of_method,
    ) -> None:
        self._exempt = Patterns(exempt_paths)
        self._read = Patterns(read_routes)
        self._write = Patterns(write_routes)
        self._classify = classify

    def lane_of(self, environ: Environ) -> Lane | None:
        """Return the request's lane, or None where it is exempt."""
        path = environ.get("PATH_INFO", "")
        if self._exempt.match(path):
            return None
        if self._read or self._write:
            route = f"{environ['REQUEST_METHOD']} {path}"
            if self._read.match(route):
                return Lane.READ
            if self._write.match(route):
                return Lane.WRITE
        return self._classify(environ)
