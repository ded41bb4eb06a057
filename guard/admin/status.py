"""The operator's page and the status document behind it, as views of the admin application."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from guard.admin.answers import JSON, TEXT, Answer, matches, tagged
from guard.admin.page import PAGE, Asset, assets

if TYPE_CHECKING:
    from collections.abc import Callable

    Environ = dict[str, Any]

_AFTER: Final = re.compile(r"(?:.*&)?after=(\d{1,15})(?:&.*)?")


class StatusSource(Protocol):
    """What ``/status`` shows; ``guard.status.Keeper`` is one."""

    def etag(self, after: int) -> str:
        """Return what changes whenever the document does."""
        ...

    def json(self, after: int = 0) -> bytes:
        """Return the document, with the charts' points after a number."""
        ...

    def text(self) -> str:
        """Return the essentials as text."""
        ...


class StatusViews:
    """Answers ``/``, the page's files, and ``/status`` as JSON or text. Thread-safe.

    Args:
        status: what is shown.

    Attributes:
        views: what answers each path.
    """

    def __init__(self, status: StatusSource) -> None:
        self._status = status
        # Read here and not at a request: a fork must find no file half read.
        found = assets()
        self._index = _file(found[PAGE])
        self.views: dict[str, Callable[[Environ], Answer]] = {
            "/": self._page,
            "/status": self._as_asked,
            "/status.json": self._json,
            "/status.txt": self._text,
            **{f"/{name}": _file(asset) for name, asset in found.items()},
        }

    def _page(self, environ: Environ) -> Answer:
        return self._text(environ) if _wants_text(environ) else self._index(environ)

    def _as_asked(self, environ: Environ) -> Answer:
        return self._text(environ) if _wants_text(environ) else self._json(environ)

    def _json(self, environ: Environ) -> Answer:
        found = _AFTER.fullmatch(environ.get("QUERY_STRING", ""))
        after = int(found.group(1)) if found else 0
        # Asked before the document is made: a newer one under an older name is only sent again.
        etag, asked = self._status.etag(after), environ.get("HTTP_IF_NONE_MATCH", "")
        body = b"" if matches(etag, asked) else self._status.json(after)
        return tagged(etag, asked, JSON, body)

    def _text(self, _environ: Environ) -> Answer:
        return Answer(200, TEXT, self._status.text().encode())


def _file(asset: Asset) -> Callable[[Environ], Answer]:
    def view(environ: Environ) -> Answer:
        asked = environ.get("HTTP_IF_NONE_MATCH", "")
        return tagged(asset.etag, asked, asset.content_type, asset.body)

    return view


def _wants_text(environ: Environ) -> bool:
    accept = environ.get("HTTP_ACCEPT", "")
    return "text/plain" in accept and "text/html" not in accept
