"""A response whose head leaves together with the first piece of its body.

gunicorn sends them one after the other: two system calls, at each of which another thread may
take the interpreter's lock, two packets, and a client that is woken twice. A worker that dies
between them leaves the client with a status and no body.
"""

from __future__ import annotations

from typing import Any, Final

from gunicorn.http.wsgi import Response

JOINED_MAX_BYTES: Final = 65_536
"""To copy a longer piece behind the head costs more than to send it by itself."""


class _Collected:
    """Stands in for a socket, and keeps what is sent."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep ``data``."""
        self.pieces.append(data)


class JoinedResponse(Response):  # type: ignore[misc]  # gunicorn carries no types
    """gunicorn's response to a request in HTTP/1; see above."""

    sock: Any

    def write(self, arg: bytes) -> None:
        """Send a piece of the body, the first one behind the head.

        Raises:
            TypeError: it is no bytes.
            OSError: the client has gone.
        """
        if self.headers_sent or len(arg) > JOINED_MAX_BYTES:
            super().write(arg)
            return
        sock, self.sock = self.sock, _Collected()
        try:
            super().write(arg)
        finally:
            collected, self.sock = self.sock, sock
            sock.sendall(b"".join(collected.pieces))


def join_head(start_response: Any) -> None:  # noqa: ANN401 - any callable
    """Have ``start_response``'s response leave as above, where that is gunicorn's own."""
    response = getattr(start_response, "__self__", None)
    if type(response) is Response:
        # gthread has no seam for another class; this one has no state of its own.
        response.__class__ = JoinedResponse
