"""Takes the short body of a refused request off its connection, so that this can be kept.

Most clients send a request's head and body apart. A refusal leaves before anybody has read the
body, and a connection with an unread body must be closed: what follows would be taken for the
next request. A new connection costs both sides many times what the refusal does, and a client
that is to come back needs one.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Final

from guard.socket_age import SOCKET_KEY

if TYPE_CHECKING:
    from guard.routing import Environ

TAKEN_MAX_BYTES: Final = 8192
"""A longer body is not worth reading; the connection is closed."""
WAIT_MS: Final = 5
"""Longest wait for a body that is on its way; it costs a thread, but no processor time."""


def body_taken(environ: Environ) -> bool:
    """Return whether the connection holds no more of this request's body.

    Reads it if it is short and has come as a whole within 5 ms. Works under gunicorn, over TCP;
    elsewhere it is true only for a request without a body.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdecimal()):
        return False
    size_bytes = int(length[:9])
    if size_bytes == 0:
        return True
    buffered_bytes = _buffered_bytes(environ["wsgi.input"])
    sock = environ.get(SOCKET_KEY)
    if buffered_bytes is None or sock is None or size_bytes > TAKEN_MAX_BYTES:
        return False
    try:
        return _has_come(sock, size_bytes - buffered_bytes) and (
            len(environ["wsgi.input"].read(size_bytes)) == size_bytes
        )
    except (OSError, ValueError):
        return False  # the client has gone; or TLS, which can't be peeked at


def _buffered_bytes(body: object) -> int | None:
    """Return how much gunicorn has read ahead of the body; None where it is another server's."""
    unreader = getattr(getattr(body, "reader", None), "unreader", None)
    buffer = getattr(unreader, "buf", None)
    return None if buffer is None else len(buffer.getvalue())


def _has_come(sock: socket.socket, size_bytes: int) -> bool:
    """Wait until so much can be read without waiting; return whether it can."""
    # Never by reading with a time-out: gunicorn gives up a body whose read has failed, and drops
    # the connection without a word to the client.
    if size_bytes <= 0:
        return True
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
    try:
        ready.poll(WAIT_MS)
        # A client that has gone makes the socket readable too.
        peeked = sock.recv(size_bytes, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return len(peeked) == size_bytes
