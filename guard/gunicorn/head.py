"""Recognises the one shape of request that may be refused without the full parser. Pure.

A refusal in the accept loop must never take a byte that belongs to something else. So the bytes
that have come must be exactly one complete head of a GET without a body, in plain HTTP/1.1, and
nothing after it; whatever is longer, shorter, pipelined, chunked or merely unusual is left to
gunicorn's own parser.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

HEAD_BYTES_MAX: Final = 8192
"""A longer head goes the normal way."""

_HEAD = re.compile(
    rb"GET (/[!-\"$-~]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)"
    rb"\r\n"
)
_SPECIAL = re.compile(
    rb"^(?:content-length|transfer-encoding|expect|upgrade|te|trailer|http2-settings)[\t ]*:",
    re.IGNORECASE | re.MULTILINE,
)
_HOST = re.compile(rb"^host:", re.IGNORECASE | re.MULTILINE)
_CONNECTION = re.compile(rb"^connection:[\t ]*(.*?)[\t ]*\r$", re.IGNORECASE | re.MULTILINE)


class Head(NamedTuple):
    """A request that may be refused at once.

    Attributes:
        environ: as much of the WSGI environ as tells a request's lane.
        keep_alive: whether the client wants the connection kept.
    """

    environ: dict[str, Any]
    keep_alive: bool


def parse(data: bytes) -> Head | None:
    """Return the request that ``data`` is, all of it; None where it is anything else."""
    found = _HEAD.fullmatch(data)
    if found is None:
        return None
    target, fields = found.groups()
    if _SPECIAL.search(fields) or len(_HOST.findall(fields)) != 1:
        return None
    options = [value.lower() for value in _CONNECTION.findall(fields)]
    if any(option not in {b"keep-alive", b"close"} for option in options):
        return None
    path, _, query = target.partition(b"?")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SCRIPT_NAME": "",
    }
    return Head(environ, b"close" not in options)
