"""The operator's page: a few small files, read once, each with an ETag."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

PAGE: Final = "index.html"
_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "uPlot.min.css": "text/css; charset=utf-8",
    "uPlot.LICENSE.txt": "text/plain; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "status.schema.json": "application/schema+json",
}


class Asset(NamedTuple):
    """One file.

    Attributes:
        content_type: its type.
        body: its content.
        etag: changes with the content.
    """

    content_type: str
    body: bytes
    etag: str


def assets() -> dict[str, Asset]:
    """Return every file of the page by its name."""
    folder = files("guard.admin") / "assets"
    return {name: _asset(kind, (folder / name).read_bytes()) for name, kind in _TYPES.items()}


def _asset(content_type: str, body: bytes) -> Asset:
    return Asset(content_type, body, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
