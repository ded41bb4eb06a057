"""A gthread worker that refuses in its accept loop what would be refused anyway.

A refusal by the middleware costs a thread's turn and a full parse, several hundred
microseconds; at many times the capacity that alone takes all the CPU. Here the request is only
looked at (the bytes stay in the kernel until it is sure that they are refused), and answered
from the loop that accepts.

What it touches of gunicorn, all of it ``ThreadWorker``'s: ``enqueue_req`` (overridden),
``nr_conns``, ``keepalived_conns``, ``pending_conns``, ``poller``, ``on_client_socket_readable``,
``on_pending_socket_readable``, and of a connection ``sock``, ``parser``, ``initialized``,
``data_ready``, ``set_timeout``, ``close``. A test fails where gunicorn changes one of them.
"""

from __future__ import annotations

import selectors
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from guard.gunicorn.context import current_worker
from guard.gunicorn.head import REQUEST_BYTES_MAX, parse
from guard.problem import status_line

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from guard.problem import Response


class GuardWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn carries no types
    """gthread with an early gate; without a gate (``WorkerContext.gate``) it is plain gthread."""

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Refuse the connection's request at once, or give it to a thread."""
        worker = current_worker()
        gate = worker.gate if worker is not None else None
        if gate is None or not self._plain(conn) or not self._settled(conn, gate):
            super().enqueue_req(conn)

    def _plain(self, conn: Any) -> bool:  # noqa: ANN401
        # Bytes that the parser has read ahead come before those in the socket.
        cfg = self.cfg
        if not self.alive or cfg.is_ssl or cfg.proxy_protocol != "off":
            return False
        return conn.parser is None or not conn.parser.unreader.buf.getvalue()

    def _settled(self, conn: Any, gate: Callable[[dict[str, Any]], Response | None]) -> bool:  # noqa: ANN401
        try:
            data = conn.sock.recv(REQUEST_BYTES_MAX, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._awaited(conn)
        except OSError:
            return False  # a client that has gone: the normal way knows what to do
        if not data:
            # The client has closed a connection that was kept for it.
            self._drop(conn)
            return True
        head = parse(data)
        response = gate(head.environ) if head is not None else None
        if head is None or response is None:
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
        # Everything that came was read, so closing sends no reset. Never the graceful way:
        # it waits for the client, on the thread that accepts.
        self.nr_conns -= 1
        conn.close()


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
