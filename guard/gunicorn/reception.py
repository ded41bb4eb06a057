"""Reads what a connection has sent, and settles what needs no thread.

A refusal by the middleware costs a thread's turn and a full parse, several hundred
microseconds; at many times the capacity that alone takes all the CPU. A client that sends half
a request and then nothing would hold a thread for ever. So the loop reads, waits until a request
is whole, and refuses it where the gate says so; only the rest gets a thread.
"""

from __future__ import annotations

import socket
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http import get_parser

from guard.gunicorn.head import Head, finder, is_partial, parse
from guard.problem import status_line
from guard.socket_age import SOCKET_KEY

if TYPE_CHECKING:
    from guard.gunicorn.context import Gate
    from guard.problem import Response

READ_BYTES: Final = 16_384

_REFUSED: Final = 503
_NO_SIGNAL: Final = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT


class Fate(Enum):
    """What becomes of a connection whose bytes were read."""

    THREAD = "its request needs a thread"
    REFUSED = "its request was refused, and the next one is awaited"
    PARTIAL = "the rest of its request is awaited"
    GONE = "nothing is to come"


class Reception:
    """Settles requests in the accept loop, for plain HTTP/1.1.

    Args:
        gate: says what is refused; None refuses nothing.
    """

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self._wanted = finder(gate.headers) if gate is not None else None

    def pressed(self) -> bool:
        """Return whether requests are being refused."""
        return self._gate is not None and self._gate.pressed()

    def settle(self, conn: Any, waits_s: float | None) -> Fate:  # noqa: ANN401 - gunicorn's TConn
        """Read what has come, without waiting, and refuse the request where it would be refused.

        Args:
            conn: the connection; what is not settled here is given to its parser.
            waits_s: how long a request would wait for a thread, seconds; None refuses nothing.
        """
        ended = False
        data: bytes = conn.begun
        try:
            received = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
            ended = not received
            data += received
        except BlockingIOError:
            pass
        except OSError:
            return Fate.GONE
        if is_partial(data):
            conn.begun = data
            return Fate.GONE if ended else Fate.PARTIAL
        conn.begun = b""
        fate = Fate.THREAD
        if waits_s is not None and self._gate is not None:
            fate = self._decided(conn, data, self._gate, waits_s)
        if fate is Fate.THREAD:
            give(conn, data)
        return fate

    def _decided(self, conn: Any, data: bytes, gate: Gate, waits_s: float) -> Fate:  # noqa: ANN401
        head = parse(data, self._wanted)
        if head is None:
            return Fate.THREAD
        head.environ[SOCKET_KEY] = conn.sock
        # A peer on a Unix socket has no address.
        head.environ["REMOTE_ADDR"] = conn.client[0] if isinstance(conn.client, tuple) else ""
        response = gate.consider(head.environ, waits_s)
        if response is None:
            return Fate.THREAD
        return answered(conn.sock, response, head)


def give(conn: Any, data: bytes) -> None:  # noqa: ANN401 - gunicorn's TConn
    """Let the connection's parser have bytes before those that are still in the socket."""
    if conn.parser is None:
        conn.parser = get_parser(conn.cfg, conn.sock, conn.client)
    conn.parser.unreader.unread(data)
    conn.data_ready = True


def answered(sock: socket.socket, response: Response, head: Head) -> Fate:
    """Send the answer, without waiting.

    The request is taken, so there is no way back to a thread: a client that does not read, or
    has gone, is dropped.
    """
    # A kept answer is as large as it is, and a second older each time.
    made = _message if response.status == _REFUSED else _message.__wrapped__
    message = made(response, keep_alive=head.keep_alive)
    try:
        sent = sock.send(message, _NO_SIGNAL)
    except OSError:
        return Fate.GONE
    return Fate.REFUSED if head.keep_alive and sent == len(message) else Fate.GONE


@lru_cache(1024)
def _message(response: Response, *, keep_alive: bool) -> bytes:
    connection = "keep-alive" if keep_alive else "close"
    lines = [f"HTTP/1.1 {status_line(response.status)}", f"Connection: {connection}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body
