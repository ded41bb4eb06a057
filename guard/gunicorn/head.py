"""Recognises requests that are still coming, and those that may be refused unparsed. Pure.

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

HEAD_BYTES_MAX: Final = 8192
"""A request whose head is longer goes the normal way."""
REQUEST_BYTES_MAX: Final = 65_536
"""A thread reads the body of a longer request."""

_HEAD = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[!-\"$-~]*) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)"
    rb"\r\n"
)
_SPECIAL = re.compile(
    rb"^(?:transfer-encoding|expect|upgrade|te|trailer|http2-settings)[\t ]*:",
    re.IGNORECASE | re.MULTILINE,
)
_LINE = re.compile(rb"[!-~]+ [^ ]+ HTTP/[0-9]\.[0-9]")
_LENGTH_NAME = re.compile(rb"\ncontent-length", re.IGNORECASE)
_DIGITS_MAX: Final = 9
"""Enough for any length that is awaited here."""
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


def is_partial(data: bytes) -> bool:
    """Tell whether the rest of a request can be awaited without a thread.

    False for one that is whole, and for everything on which the full parser has something to
    say before more comes: a line that begins no request, a client that waits for
    ``100 Continue``, a body of untold length, or one that is too long to be kept here. Over
    anything else the parser would wait for more, and a thread with it.

    Args:
        data: what has come of it, in order.
    """
    # Some clients end a body with an empty line that is not counted; RFC 9112, section 2.2.
    data = data.lstrip(b"\r\n")
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        line, ended, _ = head.partition(b"\r\n")
        begins_well = not ended or _LINE.fullmatch(line) is not None
        return begins_well and len(data) < HEAD_BYTES_MAX
    if not _LENGTH_NAME.search(head):
        return False
    fields = head + b"\r\n"
    lengths = _LENGTH.findall(fields)
    if len(lengths) != 1 or not lengths[0].isdigit() or _SPECIAL.search(fields):
        return False
    awaited = int(lengths[0][:_DIGITS_MAX]) - len(body)
    return awaited > 0 and len(data) + awaited <= REQUEST_BYTES_MAX


def _whole(lengths: list[bytes], body: bytes) -> bool:
    if not lengths:
        return not body
    return len(lengths) == 1 and lengths[0] == str(len(body)).encode()
