"""Recognises the one shape of request that may be refused without the full parser. Pure.

A refusal in the accept loop must never take a byte that belongs to something else. So the bytes
that have come must be exactly one complete request in plain HTTP/1.1, with a body of a told
length or none, and nothing after it; whatever is longer, shorter, pipelined, chunked or merely
unusual is left to gunicorn's own parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from guard.routing import environ_key

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_BYTES_MAX: Final = 8192
"""A longer request goes the normal way."""

_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[!-\"$-~]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)"
    rb"\r\n"
)
_SPECIAL = re.compile(
    rb"^(?:transfer-encoding|expect|upgrade|te|trailer|http2-settings)[\t ]*:",
    re.IGNORECASE | re.MULTILINE,
)
_LENGTH = re.compile(
    rb"^content-length[\t ]*:[\t ]*([^\r]*?)[\t ]*\r$", re.IGNORECASE | re.MULTILINE
)
_HOST = re.compile(rb"^host:", re.IGNORECASE | re.MULTILINE)
_CONNECTION = re.compile(rb"^connection:[\t ]*(.*?)[\t ]*\r$", re.IGNORECASE | re.MULTILINE)


_ANY_NAME: Final = rb"[0-9A-Za-z-]+"


def finder(names: Iterable[str] | None) -> re.Pattern[bytes] | None:
    """Return what ``parse`` finds header fields of these names by; None where there are none.

    Args:
        names: their names; None for all. Those with an underscore are never found: gunicorn drops
            them, since the environ can't tell them from the same name with a hyphen.
    """
    found = _ANY_NAME if names is None else b"|".join(re.escape(name.encode()) for name in names)
    pattern = rb"^(" + found + rb"):[\t ]*([^\r]*?)[\t ]*\r$"
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE) if found else None


class Head(NamedTuple):
    """A request that may be refused at once.

    Attributes:
        environ: as much of the WSGI environ as tells a request's lane, and the fields that were
            asked for.
        keep_alive: whether the client wants the connection kept.
    """

    environ: dict[str, Any]
    keep_alive: bool


def parse(data: bytes, wanted: re.Pattern[bytes] | None = None) -> Head | None:
    """Return the request that ``data`` is, all of it; None where it is anything else.

    Args:
        data: what has come.
        wanted: which header fields go into the environ; see ``finder``.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    found = _HEAD.fullmatch(head + end)
    if found is None:
        return None
    method, target, fields = found.groups()
    if _SPECIAL.search(fields) or len(_HOST.findall(fields)) != 1:
        return None
    if not _whole(_LENGTH.findall(fields), body):
        return None
    options = [value.lower() for value in _CONNECTION.findall(fields)]
    if any(option not in {b"keep-alive", b"close"} for option in options):
        return None
    path, _, query = target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method.decode(),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SCRIPT_NAME": "",
    }
    for name, value in wanted.findall(fields) if wanted is not None else ():
        key, text = environ_key(name.decode()), value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return Head(environ, b"close" not in options)


def _whole(lengths: list[bytes], body: bytes) -> bool:
    if not lengths:
        return not body
    return len(lengths) == 1 and lengths[0] == str(len(body)).encode()
