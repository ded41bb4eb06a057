"""A gthread worker that refuses in its accept loop what would be refused anyway.

A refusal by the middleware costs a thread's turn and a full parse, several hundred
microseconds; at many times the capacity that alone takes all the CPU. Here, while requests are
being refused or wait for a thread, a request is only looked at (the bytes stay in the kernel
until it is sure that they are refused), and answered from the loop that accepts.

Three more things differ from gthread:

* Each request is stamped with the time at which it arrived, in the kernel where that can tell,
  before it is queued for a thread; the application finds it in the environ
  (``guard.accepted_s``).
* A connection that the server closes is seen off by the loop's own events. gthread waits on the
  accepting thread, up to two seconds, for a client that is slow to close.
* A thread that has answered waits a moment for the connection's next request while no other
  request waits for a thread. That spares the way back to the loop and through the queue.

What it touches of gunicorn's ``ThreadWorker``: ``accept``, ``enqueue_req``, ``handle``,
``load_wsgi``, ``murder_pending``, ``notify`` (overridden), ``nr_conns``,
``worker_connections``, ``keepalived_conns``,
``pending_conns``, ``poller``, ``wsgi``, ``on_client_socket_readable``,
``on_pending_socket_readable``; of ``TConn``: ``client``, ``sock``, ``parser``, ``initialized``,
``data_ready``, ``timeout``, ``set_timeout``, ``close``, ``is_http2``. A test fails where
gunicorn changes one of them.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
import threading
from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

from guard.gunicorn.context import current_worker
from guard.gunicorn.head import REQUEST_BYTES_MAX, finder, parse
from guard.problem import status_line
from guard.socket_age import ACCEPTED_KEY, SOCKET_KEY, last_received_ago_s

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

    from guard.gunicorn.context import Gate
    from guard.problem import Response

LINGER_S: Final = 2.0
"""How long a closing connection may take to hear the last answer, as in gunicorn."""
NOTIFY_S: Final = 0.2
ACCEPTS_MAX: Final = 16
"""Connections accepted at one turn of the loop while requests are refused."""
STAY_MS: Final = 1
"""How long a thread waits for its connection's next request while nobody else needs it."""


class Connection(TConn):  # type: ignore[misc]  # gunicorn carries no types
    """A client's connection.

    Attributes:
        queued_s: when the request arrived that was queued for a thread, on the monotonic clock.
    """

    queued_s = 0.0

    def __init__(self, worker: GuardWorker, sock: socket.socket, *names: Any) -> None:  # noqa: ANN401
        super().__init__(worker.cfg, sock, *names)
        self._worker = worker

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's
        """Close; a graceful close lets the client hear the last answer first."""
        if graceful and not self._worker.cfg.is_ssl:
            self._worker.see_off(self)
        else:
            super().close(graceful)


class GuardWorker(ThreadWorker):  # type: ignore[misc]
    """gthread with an early gate; without one (``WorkerContext.gate``) nothing is refused."""

    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._leaving: deque[Connection] = deque()
        # One stamp for each request that waits for a thread, the oldest first.
        self._queued_s: deque[float] = deque()
        self._served = threading.local()
        self._gate: Gate | None = None
        self._wanted: re.Pattern[bytes] | None = None
        self._notified_s = 0.0

    def load_wsgi(self) -> None:
        """Load the application, which will hear when its requests were accepted."""
        super().load_wsgi()
        worker = current_worker()
        self._gate = worker.gate if worker is not None else None
        self._wanted = finder(self._gate.headers) if self._gate is not None else None
        app, served = self.wsgi, self._served

        def stamped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ[ACCEPTED_KEY] = served.queued_s
            found: Iterable[bytes] = app(environ, start_response)
            return found

        self.wsgi = stamped

    @property
    def queue_depth(self) -> int:
        """Requests that wait for a thread."""
        return len(self._queued_s)

    def queue_age_s(self) -> float:
        """Return how long the oldest of them has waited, seconds; 0 where none waits."""
        try:
            return monotonic() - self._queued_s[0]
        except IndexError:
            return 0.0

    def notify(self) -> None:
        """Tell the arbiter that the loop turns, not at every turn: it looks once a second."""
        now_s = monotonic()
        if now_s - self._notified_s >= NOTIFY_S:
            self._notified_s = now_s
            super().notify()

    def accept(self, listener: Any) -> None:  # noqa: ANN401
        """Accept connections and give their requests, those that have come, to threads.

        One at a time, as gthread does, so that the workers share them; while requests are
        refused several, for then each turn of the loop costs more than a refusal.
        """
        pressed = self._gate is not None and self._gate.pressed()
        server = listener.getsockname()
        for _ in range(ACCEPTS_MAX if pressed else 1):
            if self.nr_conns >= self.worker_connections:
                return
            try:
                client, address = listener.accept()
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                    raise
                return
            self.nr_conns += 1
            self.enqueue_req(Connection(self, client, address, server))

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Refuse the connection's request at once, let it come, or queue it for a thread."""
        if self._plain(conn) and self._settled(conn):
            return
        # It may have waited in the kernel before the loop came to it.
        conn.queued_s = monotonic() - last_received_ago_s(conn.sock)
        self._queued_s.append(conn.queued_s)
        super().enqueue_req(conn)

    def _plain(self, conn: Any) -> bool:  # noqa: ANN401
        # Bytes that the parser has read ahead come before those in the socket.
        cfg = self.cfg
        if not self.alive or cfg.is_ssl or cfg.proxy_protocol != "off" or conn.is_http2:
            return False
        return conn.parser is None or not conn.parser.unreader.buf.getvalue()

    def _settled(self, conn: Any) -> bool:  # noqa: ANN401
        gate = self._gate
        asked = gate is not None and (bool(self._queued_s) or gate.pressed())
        if not asked and (conn.initialized or conn.data_ready):
            return False
        try:
            data = conn.sock.recv(
                REQUEST_BYTES_MAX if asked else 1, socket.MSG_PEEK | socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return self._awaited(conn)
        except OSError:
            return False  # a client that has gone: the normal way knows what to do
        if not data:
            # The client has closed a connection that was kept for it.
            self._drop(conn)
            return True
        conn.data_ready = True
        return asked and gate is not None and self._refused(conn, data, gate)

    def _refused(self, conn: Any, data: bytes, gate: Gate) -> bool:  # noqa: ANN401
        head = parse(data, self._wanted)
        if head is None:
            return False
        head.environ[SOCKET_KEY] = conn.sock
        # A peer on a Unix socket has no address.
        head.environ["REMOTE_ADDR"] = conn.client[0] if isinstance(conn.client, tuple) else ""
        response = gate.consider(head.environ, self.queue_age_s())
        if response is None:
            return False
        if _answered(conn.sock, len(data), response, keep_alive=head.keep_alive):
            self._wait(conn, self.keepalived_conns, self.on_client_socket_readable)
        else:
            self._drop(conn)
        return True

    def _awaited(self, conn: Any) -> bool:  # noqa: ANN401
        """Wait in the loop for a new connection's first bytes; gthread lets a thread wait."""
        if conn.initialized or conn.data_ready or not self.cfg.keepalive:
            return False
        self._wait(conn, self.pending_conns, self.on_pending_socket_readable)
        return True

    def _wait(self, conn: Any, waiting: deque[Any], then: Callable[..., None]) -> None:  # noqa: ANN401
        conn.sock.setblocking(False)  # noqa: FBT003 - the standard library's
        conn.set_timeout()
        waiting.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))

    def _drop(self, conn: Any) -> None:  # noqa: ANN401
        # Everything that came was read, so closing sends no reset.
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Any) -> Any:  # noqa: ANN401
        """Serve the connection's request, and the next ones if they come at once."""
        self._queued_s.popleft()
        self._served.queued_s = conn.queued_s
        kept = super().handle(conn)
        while kept is True and self._stays(conn):
            self._served.queued_s = monotonic()
            kept = super().handle(conn)
        return kept

    def _stays(self, conn: Any) -> bool:  # noqa: ANN401
        """Wait a moment for the next request; return whether it is there."""
        gate = self._gate
        if self._queued_s or not self._plain(conn) or (gate is not None and gate.pressed()):
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        # A request may have been queued while this waited; it has other threads to take it,
        # or goes before the connection's next but one.
        return bool(poll.poll(STAY_MS))

    def see_off(self, conn: Connection) -> None:
        """Close after the client has closed, or after ``LINGER_S``, without waiting here.

        RFC 9112, section 9.6: closing at once while the client still sends would reset the
        connection, and with it an answer that is under way.
        """
        try:
            conn.sock.setblocking(False)  # noqa: FBT003
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._hears, conn))
        except (OSError, ValueError):
            conn.close()
            return
        conn.timeout = monotonic() + LINGER_S
        self.nr_conns += 1
        self._leaving.append(conn)

    def _hears(self, conn: Connection, _sock: object) -> None:
        try:
            if conn.sock.recv(REQUEST_BYTES_MAX):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._leaving.remove(conn)
        self._gone(conn)

    def _gone(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self._drop(conn)

    def murder_pending(self) -> None:
        """Close what has waited too long: for its first byte, or for its client's farewell."""
        super().murder_pending()
        now_s = monotonic()
        while self._leaving and self._leaving[0].timeout <= now_s:
            self._gone(self._leaving.popleft())


def _answered(
    sock: socket.socket, request_bytes: int, response: Response, *, keep_alive: bool
) -> bool:
    """Take the request and send the answer, without waiting; return whether the socket is kept.

    Once the request is taken there is no way back to a thread: a client that does not read,
    or has gone, is dropped.
    """
    connection = "keep-alive" if keep_alive else "close"
    lines = [f"HTTP/1.1 {status_line(response.status)}", f"Connection: {connection}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    message = "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body
    try:
        sock.recv(request_bytes, socket.MSG_DONTWAIT)
        sent = sock.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return keep_alive and sent == len(message)
