"""A gthread worker whose accept loop refuses, and waits for slow clients, without a thread.

It differs from gthread in this:

* The loop reads each request, and gives it to a thread only when it is whole (as far as
  ``guard.gunicorn.head`` can tell); while requests are being refused or wait for a thread, it
  refuses there and then what the gate refuses. See ``guard.gunicorn.reception``.
* Each request is stamped with the time at which it arrived, in the kernel where that can tell,
  before it is queued for a thread; the application finds it in the environ
  (``guard.accepted_s``).
* A connection that the server closes is seen off by the loop's own events. gthread waits on the
  accepting thread, up to two seconds, for a client that is slow to close.
* A thread that has answered waits a moment for the connection's next request while no other
  request waits for a thread. That spares the way back to the loop and through the queue.
* It gives a connection that is kept back to the loop without waking that up.
* The head of a response leaves together with the first piece of its body; see
  ``guard.gunicorn.response``.
* Where all places for connections are taken, an idle one makes room for a new one.

What it touches of gunicorn's ``ThreadWorker``: ``accept``, ``enqueue_req``,
``get_thread_pool``, ``handle``, ``load_wsgi``, ``murder_keepalived``, ``murder_pending``,
``notify``, ``on_client_socket_readable``, ``on_pending_socket_readable``,
``set_accept_enabled``, ``_cap_keepalive`` (overridden), ``finish_request``, ``method_queue``,
``nr_conns``, ``worker_connections``, ``keepalived_conns``, ``pending_conns``, ``poller``,
``tpool``, ``wsgi``; of ``TConn``: ``cfg``, ``client``, ``sock``, ``parser``, ``data_ready``,
``timeout``, ``close``; of the parser: ``unreader``'s ``unread`` and
``take_buffered``. A test fails where gunicorn changes one of them.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from guard.gunicorn.client import Connection, is_plain
from guard.gunicorn.context import current_worker
from guard.gunicorn.head import is_partial
from guard.gunicorn.reception import READ_BYTES, Fate, Reception, give
from guard.gunicorn.response import join_head
from guard.gunicorn.shortage import SHORT, Shortage, Threads
from guard.gunicorn.waiting import Waiting
from guard.socket_age import ACCEPTED_KEY, last_received_ago_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINGER_S: Final = 2.0
"""How long a closing connection may take to hear the last answer, as in gunicorn."""
REQUEST_WITHIN_S: Final = 10.0
"""So long after its first byte, or after the connection, a request must be whole to be heard."""
NOTIFY_S: Final = 0.2
ACCEPTS_MAX: Final = 16
"""Connections accepted at one turn of the loop while requests are refused."""
STAY_MS: Final = 1
"""How long a thread waits for its connection's next request while nobody else needs it."""

_TOO_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class GuardWorker(ThreadWorker):  # type: ignore[misc]
    """gthread with an early gate; without one (``WorkerContext.gate``) nothing is refused."""

    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.keepalived_conns: Waiting[Connection] = Waiting()
        self.pending_conns: Waiting[Connection] = Waiting()
        self._leaving: Waiting[Connection] = Waiting()
        # A thread adds to keepalived_conns and the poller; nobody may drop a connection that is in
        # one of them and not in the other, and its number be taken by a new one.
        self._handing_back = threading.Lock()
        # One stamp for each request that waits for a thread, the oldest first.
        self._queued_s: deque[float] = deque()
        self._served = threading.local()
        self._reception = Reception(None)
        self._plain = is_plain(self.cfg)
        self._notified_s = 0.0
        self._addresses: dict[Any, Any] = {}
        self._shortage = Shortage(self.log)

    def load_wsgi(self) -> None:
        """Load the application, which will hear when its requests were accepted."""
        super().load_wsgi()
        worker = current_worker()
        self._reception = Reception(worker.gate if worker is not None else None)
        app, served = self.wsgi, self._served

        def stamped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ[ACCEPTED_KEY] = served.queued_s
            join_head(start_response)
            found: Iterable[bytes] = app(environ, start_response)
            return found

        self.wsgi = stamped

    def get_thread_pool(self) -> Threads:
        """Return the pool of the request threads; each is started when it is needed first."""
        return Threads(self.cfg.threads, self._shortage)

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
        server = self._addresses.get(listener)
        if server is None:
            server = self._addresses[listener] = listener.getsockname()
        for _ in range(ACCEPTS_MAX if self._reception.pressed() else 1):
            if self.nr_conns >= self.worker_connections:
                return
            try:
                client, address = listener.accept()
            except OSError as error:
                if error.errno in SHORT:
                    self._shortage.begin(error)
                    self.set_accept_enabled(False)
                    self._make_room()
                elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                    raise
                return
            self.nr_conns += 1
            conn = Connection(self.cfg, client, address, server, see_off=self.see_off)
            self.enqueue_req(conn)
            if self.nr_conns >= self.worker_connections:
                self._make_room(conn)

    def _make_room(self, young: Connection | None = None) -> None:
        """Close the connection that has been idle longest, so that the next one finds a place."""
        with self._handing_back:
            for waiting in (self.keepalived_conns, self.pending_conns):
                if waiting and waiting[0] is not young:
                    self._drop(waiting[0])
                    return

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        """Accept connections or do not; never while there is nothing to accept them with."""
        super().set_accept_enabled(enabled and not self._shortage.lasts)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's TConn
        """Refuse the connection's request at once, let it come, or queue it for a thread."""
        if not self._plain or conn.is_http2:
            self._queue(conn)
            return
        # What the parser has read ahead comes before what is in the socket.
        if conn.parser is not None:
            conn.begun += conn.parser.unreader.take_buffered()
        self._settle(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:  # noqa: ANN401
        """Hear from a connection that gunicorn's own part keeps for its next request."""
        self._readable(conn, client)

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:  # noqa: ANN401
        """Hear from a connection that gunicorn's own part lets wait for its first byte."""
        conn.data_ready = True
        self._readable(conn, client)

    def _readable(self, conn: Connection, _sock: object) -> None:
        if conn.waits_in is None:
            return  # it was closed to make room by an earlier event of the same turn
        if self._plain:
            self._settle(conn)
        else:
            self._leave(conn)
            self._queue(conn)

    def _settle(self, conn: Connection) -> None:
        reception = self._reception
        asked = self.alive and (bool(self._queued_s) or reception.pressed())
        fate = reception.settle(conn, self.queue_age_s() if asked else None)
        if fate is Fate.REFUSED:
            self._wait(conn, self.keepalived_conns, self.cfg.keepalive)
        elif fate is Fate.GONE:
            self._drop(conn)
        elif fate is Fate.THREAD:
            self._leave(conn)
            self._queue(conn)
        elif conn.waits_in is not self.pending_conns:
            # Once only: a client that sends a byte now and then gains no time.
            self._wait(conn, self.pending_conns, REQUEST_WITHIN_S)

    def _queue(self, conn: Any) -> None:  # noqa: ANN401
        # It may have waited in the kernel before the loop came to it.
        conn.queued_s = monotonic() - last_received_ago_s(conn.sock)
        self._queued_s.append(conn.queued_s)
        if self._plain:
            self.tpool.submit(self._serve, conn)
        else:
            super().enqueue_req(conn)

    def _serve(self, conn: Connection) -> None:
        kept = False
        try:
            kept = self.handle(conn) is True
        finally:
            if not (kept and self._handed_back(conn)):
                served: Future[bool] = Future()
                served.set_result(kept)
                self.method_queue.defer(self.finish_request, conn, served)

    def _handed_back(self, conn: Connection) -> bool:
        """Let the loop await the next request; return whether that went without waking it up."""
        if conn.parser.unreader.buf.getvalue():
            return False  # it has read into the next request already
        conn.sock.settimeout(0.0)
        with self._handing_back:
            if not self.alive:
                return False
            try:
                self._wait(conn, self.keepalived_conns, self.cfg.keepalive)
            except (OSError, ValueError):
                self.keepalived_conns.remove(conn)
                return False
        return True

    def _wait(self, conn: Connection, waiting: Waiting[Connection], within_s: float) -> None:
        before = conn.waits_in
        if before is not None:
            before.remove(conn)
        conn.timeout = monotonic() + (within_s if self.alive else STOP_KEEPALIVE_LINGER)
        # First: what it sends is left unread while it waits nowhere.
        waiting.append(conn)
        if before is None:
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._readable, conn))

    def _leave(self, conn: Connection) -> None:
        if conn.waits_in is not None:
            conn.waits_in.remove(conn)
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        # Everything that came was read, so closing sends no reset.
        self._leave(conn)
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Any) -> Any:  # noqa: ANN401
        """Serve the connection's request, and the next ones if they come at once."""
        self._queued_s.popleft()
        self._served.queued_s = conn.queued_s
        kept = super().handle(conn)
        while kept is True and self._plain and self._stays(conn):
            self._served.queued_s = monotonic()
            kept = super().handle(conn)
        return kept

    def _stays(self, conn: Connection) -> bool:
        """Wait a moment for the next request; return whether it is there."""
        if self._queued_s or not self.alive or self._reception.pressed():
            return False
        if conn.is_http2 or conn.parser.unreader.buf.getvalue():
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        # A request may have been queued while this waited; it has other threads to take it,
        # or goes before the connection's next but one.
        if not poll.poll(STAY_MS):
            return False
        with suppress(OSError):
            conn.begun = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        if is_partial(conn.begun):
            return False
        give(conn, conn.begun)
        conn.begun = b""
        return True

    def see_off(self, conn: Connection) -> None:
        """Close after the client has closed, or after ``LINGER_S``, without waiting here.

        RFC 9112, section 9.6: closing at once while the client still sends would reset the
        connection, and with it an answer that is under way.
        """
        try:
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
            if conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's
        """Close what has been idle for too long; all that is idle where it is forced."""
        with self._handing_back:
            super().murder_keepalived(force)

    def murder_pending(self) -> None:
        """Close what has waited too long: for a whole request, or for its client's farewell."""
        now_s = monotonic()
        for waiting in (self.pending_conns, self._leaving):
            while waiting and waiting[0].timeout <= now_s:
                conn = waiting[0]
                if conn.begun:
                    with suppress(OSError):
                        conn.sock.send(_TOO_LATE, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Let what waits in the loop wait until ``deadline`` at most, since the worker stops."""
        with self._handing_back:
            super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
