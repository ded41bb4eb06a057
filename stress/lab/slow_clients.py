"""Clients that hold connections and hardly use them: slow writers, and some that never read."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stress.shots import Target

HALF_A_HEAD, BYTE_BY_BYTE, DEAF = "half a head", "a body byte by byte", "does not read"

COUNT: Final = 120
"""More than the service has threads, with the default settings on two cores."""

_TICK_S: Final = 0.1
_RECEIVED_BYTES: Final = 2048
_ASKED_AT_ONCE: Final = 20
_BODY_BYTES: Final = 10_000
_SEARCH: Final = b"GET /warrior?t=giant HTTP/1.1\r\nHost: localhost\r\n"


def _half_a_head() -> Iterator[bytes]:
    yield _SEARCH
    while True:
        yield b"X-Slow: 1\r\n"


def _byte_by_byte() -> Iterator[bytes]:
    head = "POST /warrior HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    yield f"{head}Content-Length: {_BODY_BYTES}\r\n\r\n".encode()
    while True:
        yield b" "


def _deaf() -> Iterator[bytes]:
    yield (_SEARCH + b"\r\n") * _ASKED_AT_ONCE
    while True:
        yield b""


KINDS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    HALF_A_HEAD: _half_a_head, BYTE_BY_BYTE: _byte_by_byte, DEAF: _deaf,
}  # fmt: skip
"""What clients of each kind send, piece by piece."""


class SlowClients:
    """Keeps some of a kind connected, in a thread of its own.

    A connection that the service closes is opened anew at once, so patience is no way out.

    Args:
        target: where the service is.
        kind: one of ``KINDS``.
        count: how many.
    """

    def __init__(self, target: Target, kind: str, count: int = COUNT) -> None:
        self._target = target
        self._pieces = KINDS[kind]
        self._count = count
        self._over = Event()
        self._thread = Thread(target=self._run, name="slow clients", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        clients = [_Client(self._target, self._pieces) for _ in range(self._count)]
        while not self._over.wait(_TICK_S):
            for one in clients:
                one.go_on()
        for one in clients:
            one.close()


class _Client:
    def __init__(self, target: Target, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._target = target
        self._make = pieces
        self._pieces = pieces()
        self._socket: socket.socket | None = None

    def go_on(self) -> None:
        """Send the next piece, on a new connection where the last one has ended."""
        try:
            if self._socket is None:
                self._connect()
            elif self._ended(self._socket):
                self.close()
                return
            if self._socket is not None:
                with suppress(BlockingIOError):
                    self._socket.send(next(self._pieces))
        except OSError:
            self.close()

    def _connect(self) -> None:
        self._pieces = self._make()
        self._socket = socket.socket()
        # Small, and set before connecting: the service's answer does not fit the kernel.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)
        self._socket.settimeout(_TICK_S)
        self._socket.connect(self._target)
        self._socket.setblocking(False)  # noqa: FBT003 - the library's signature

    @staticmethod
    def _ended(one: socket.socket) -> bool:
        with suppress(BlockingIOError):
            return not one.recv(1, socket.MSG_PEEK)
        return False

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
