"""Questions and answers between the copying command and the service that owns the file.

Over a Unix socket beside the database file, which only its owner's account can reach. A question is
a line of JSON, ``[name, argument, ...]``. An answer is a line of JSON too: ``{"error": text}``, or
``{"value": ..., "bytes": n}`` followed by n bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from io import BufferedRWPair as Stream
    from pathlib import Path

SUFFIX: Final = ".migrate"
_LINE_MAX_BYTES: Final = 64 * 1024


class WireError(Exception):
    """What came is no question or answer, or the other side has gone."""


def socket_path(database: Path) -> str:
    """Return where the owner of a database file listens."""
    return f"{database}{SUFFIX}"


def send(out: Stream, value: object, body: bytes = b"") -> None:
    """Send a line and the bytes that follow it.

    Raises:
        WireError: the other side has gone.
    """
    try:
        out.write(json.dumps(value).encode() + b"\n" + body)
        out.flush()
    except OSError as error:
        raise WireError(str(error)) from error


def receive(source: Stream) -> Any:  # noqa: ANN401 - JSON
    """Return the next line's value.

    Raises:
        WireError: none comes, or it is malformed.
    """
    try:
        line = source.readline(_LINE_MAX_BYTES)
        if line.endswith(b"\n"):
            return json.loads(line)
    except (OSError, ValueError) as error:
        raise WireError(str(error)) from error
    raise WireError("the connection ended")


def receive_bytes(source: Stream, count: int) -> bytes:
    """Return the next ``count`` bytes.

    Raises:
        WireError: fewer come.
    """
    try:
        body = source.read(count)
    except OSError as error:
        raise WireError(str(error)) from error
    if len(body) != count:
        raise WireError("the connection ended")
    return body
