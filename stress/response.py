"""An HTTP/1.1 response, read from the bytes that have come so far. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

HEAD_BYTES_MAX: Final = 65_536

_BLANK_LINE: Final = b"\r\n\r\n"
_INFORMATIONAL: Final = range(100, 200)
_WITHOUT_BODY: Final = (204, 304)


class BadResponseError(ValueError):
    """The bytes are no HTTP/1.1 response."""


class CutResponseError(BadResponseError):
    """The connection ended before the response did."""


class Response(NamedTuple):
    """A whole response.

    Attributes:
        status: its status.
        head: the status line and the fields, as they came.
        body: its body, without the framing of its chunks.
        reusable: the connection is free for another request.
        size_bytes: how much of the data it was, with what came before its head.
    """

    status: int
    head: bytes
    body: bytes
    reusable: bool
    size_bytes: int = 0

    def header(self, name: str) -> str:
        """Return a field's value; empty where there is none. Any case."""
        return _field_in(self.head, self.head.lower(), name.lower().encode()).decode("latin-1")


def parse(data: bytes, *, ended: bool = False, to_head: bool = False) -> Response | None:
    """Return the response that ``data`` begins with, or None while more must come.

    Args:
        data: everything that has come since the request was sent.
        ended: the peer has closed, nothing more will come.
        to_head: it answers a ``HEAD``, which can't be told from the bytes, and has no body.

    Raises:
        BadResponseError: it never becomes a response.
        CutResponseError: it would have needed more than came before the end.
    """
    end = data.find(_BLANK_LINE)
    if end < 0:
        if len(data) > HEAD_BYTES_MAX:
            raise BadResponseError(f"no end of the head in {len(data)} bytes")
        _must_go_on(ended=ended)
        return None
    status, body_at = _status(data), end + len(_BLANK_LINE)
    if status in _INFORMATIONAL:
        found = parse(data[body_at:], ended=ended, to_head=to_head)
        return None if found is None else found._replace(size_bytes=body_at + found.size_bytes)
    head = data[:end]
    fields = head.lower()
    has_body = status not in _WITHOUT_BODY and not to_head
    body, used = _body(data, body_at, fields, has_body=has_body)
    if body is None:
        if used or not ended:
            _must_go_on(ended=ended)
            return None
        return Response(status, head, data[body_at:], reusable=False, size_bytes=len(data))
    reusable = used == len(data) and _stays_open(fields)
    return Response(status, head, body, reusable, used)


def _must_go_on(*, ended: bool) -> None:
    if ended:
        raise CutResponseError("the connection ended before the response did")


def _status(data: bytes) -> int:
    # "HTTP/1.1 200 ...": the places are fixed.
    digits = data[9:12]
    if data[:7] != b"HTTP/1." or not digits.isdigit():
        raise BadResponseError(f"no status line: {data[:40]!r}")
    return int(digits)


def _body(data: bytes, at: int, fields: bytes, *, has_body: bool) -> tuple[bytes | None, int]:
    """Return the body and where it ends; None and where it should end, or 0 where nobody says."""
    if not has_body:
        return b"", at
    if b"chunked" in _field_in(fields, fields, b"transfer-encoding"):
        return _chunks(data, at)
    length = _field_in(fields, fields, b"content-length")
    if not length:
        return None, 0
    if not length.isdigit():
        raise BadResponseError(f"no length: {length!r}")
    until = at + int(length)
    return (data[at:until] if len(data) >= until else None), until


def _chunks(data: bytes, at: int) -> tuple[bytes | None, int]:
    parts: list[bytes] = []
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = _chunk_size(data[at:line_end])
        begin = line_end + 2
        if size == 0:
            end = data.find(_BLANK_LINE, line_end)  # the trailer's fields, mostly none
            return (b"".join(parts), end + len(_BLANK_LINE)) if end >= 0 else (None, begin)
        at = begin + size + 2
        if len(data) < at:
            return None, at
        parts.append(data[begin : at - 2])
    return None, at


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadResponseError(f"no chunk size: {line[:40]!r}")
    return int(digits, 16)


def _stays_open(fields: bytes) -> bool:
    said = _field_in(fields, fields, b"connection")
    return b"close" not in said and (fields[7:8] == b"1" or b"keep-alive" in said)


def _field_in(head: bytes, lowered: bytes, name: bytes) -> bytes:
    at = lowered.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()
