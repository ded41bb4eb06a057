"""What the admin application answers with."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

TITLES: Final = {
    200: "OK",
    301: "Moved Permanently",
    304: "Not Modified",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    501: "Not Implemented",
    503: "Service Unavailable",
}
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """One answer.

    Attributes:
        status: a key of ``TITLES``.
        content_type: of the body.
        body: the body; not sent to a HEAD request, or with a 304.
        headers: further headers.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "no-store"),)


def tagged(etag: str, asked: str, content_type: str, body: bytes) -> Answer:
    """Return a body with its ETag; or the 304 without it where the client has it already.

    Args:
        etag: quoted, as it stands in the header.
        asked: the request's ``If-None-Match``.
        content_type: of the body.
        body: the body.
    """
    headers = (("Cache-Control", "no-cache"), ("ETag", etag))
    if matches(etag, asked):
        return Answer(304, content_type, b"", headers)
    return Answer(200, content_type, body, headers)


def matches(etag: str, asked: str) -> bool:
    """Return whether the client has it: weak comparison (RFC 9110, 8.8.3.2)."""
    known = [one.strip().removeprefix("W/") for one in asked.split(",")]
    return etag in known or "*" in known


def json_answer(status: int, document: dict[str, Any]) -> Answer:
    """Return a JSON answer."""
    return Answer(status, JSON, json.dumps(document).encode() + b"\n")


def problem(status: int, detail: str, *headers: tuple[str, str]) -> Answer:
    """Return a problem document (RFC 9457)."""
    document = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
    }
    body = json.dumps(document).encode() + b"\n"
    return Answer(
        status, "application/problem+json", body, (("Cache-Control", "no-store"), *headers)
    )
