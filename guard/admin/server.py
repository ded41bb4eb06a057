"""A small HTTP listener in a thread: it answers while every request thread is busy.

It is made for a process that forks (gunicorn's arbiter), so it takes no lock that a forked
child could need, imports nothing late, and a child only has to close what it inherited.
"""

from __future__ import annotations

import errno
import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.clock import Clock

    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_POLL_S = 0.2
_RETRY_S = 0.05
_GRACE_S = 0.2
_MAKE_ROOM_S = 1.0


class _Handler(WSGIRequestHandler):
    """One request per connection, with a time-out on each read and write."""

    timeout = 2.0
    # Header and body are two small writes; the second must not wait for the first one's ACK.
    disable_nagle_algorithm = True
    server_version = "guard"

    def handle(self) -> None:
        # A client that is silent, or gone, is no event for anybody.
        with suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Write no access log."""


class _Server(WSGIServer):
    """Hands each connection to a thread of its own, at most ``threads_max`` at once."""

    request_queue_size = 64

    def __init__(
        self, host: str, port: int, app: WsgiApp, limits: tuple[int, float], clock: Clock
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        threads_max, self._lifetime_s = limits
        self._slots = threading.BoundedSemaphore(threads_max)
        self._clock = clock
        # Ordered by age. Only single dict operations, which are atomic, touch it.
        self._active: dict[socket.socket, float] = {}
        super().__init__((host, port), _Handler)
        self.timeout = _POLL_S
        self.set_app(app)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for our name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's types
        """Start a thread for the connection; where all are taken, the oldest has to go."""
        if not self._slots.acquire(timeout=self._patience_s()):
            self._end_oldest()
            if not self._slots.acquire(timeout=_MAKE_ROOM_S):
                self.shutdown_request(request)
                return
        self._active[request] = self._clock.now_s()
        threading.Thread(
            target=self._serve, args=(request, client_address), name="guard-admin-request",
            daemon=True,
        ).start()  # fmt: skip

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self._active.pop(request, None)
            self.shutdown_request(request)
            self._slots.release()

    def service_actions(self) -> None:
        """End connections that live too long: one byte now and then resets a read time-out."""
        now_s = self._clock.now_s()
        for request, since_s in list(self._active.items()):
            if now_s - since_s > self._lifetime_s:
                self._end(request)

    def _patience_s(self) -> float:
        # A scrape takes a few milliseconds: what is older than this waits for its client.
        oldest_s = min(self._active.copy().values(), default=0.0)
        return max(0.0, oldest_s + _GRACE_S - self._clock.now_s())

    def _end_oldest(self) -> None:
        for request in list(self._active)[:1]:
            self._end(request)

    def _end(self, request: socket.socket) -> None:
        self._active.pop(request, None)
        # Wakes the thread that reads from it; closing it is that thread's own work.
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close every descriptor in this process, saying nothing to anybody."""
        self.socket.close()
        for request in list(self._active):
            request.close()


class AdminListener:
    """The admin listener: an address, a thread, an application.

    ``bind``, ``start``, ``close`` belong to one thread; ``abandon`` to a forked child.

    Args:
        host: an IP address or a name; with a colon in it, IPv6.
        port: the TCP port; 0 lets the system choose.
        app: what answers; it must set Content-Length.
        threads_max: connections answered at once, >= 1; one more ends the oldest.
        lifetime_s: longest life of a connection, seconds.
        clock: the time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        app: WsgiApp,
        *,
        threads_max: int = 8,
        lifetime_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._limits = (threads_max, lifetime_s)
        self._clock = clock or MonotonicClock()
        self._server: _Server | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Take the address; ``port`` is the real one afterwards.

        Raises:
            OSError: it is taken (EADDRINUSE), forbidden, or not an address of this machine.
        """
        self._server = _Server(self.host, self.port, self._app, self._limits, self._clock)
        self.port = self._server.server_port

    def start(self) -> None:
        """Answer in a thread; where the address is not ours yet, first try until it is.

        So a new process takes over from an old one that still answers.
        """
        self._thread = threading.Thread(target=self._run, name="guard-admin", daemon=True)
        self._thread.start()

    @property
    def bound(self) -> bool:
        """Whether the address is ours."""
        return self._server is not None

    def close(self) -> None:
        """Stop answering and give the address back; takes up to a fifth of a second."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        if self._server is not None:
            self._server.server_close()

    def abandon(self) -> None:
        """Close the inherited descriptors in a forked child; or all at once before an exit."""
        self._closing.set()
        if self._server is not None:
            self._server.abandon()

    def _run(self) -> None:
        while self._server is None and not self._closing.is_set():
            try:
                self.bind()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                self._closing.wait(_RETRY_S)
        server = self._server
        # ``abandon`` may close the socket while this thread still waits on it.
        with suppress(OSError, ValueError):
            while server is not None and not self._closing.is_set():
                server.handle_request()
                server.service_actions()
