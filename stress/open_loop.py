"""Requests go out when they are due, whatever the service does: one thread, plain epoll.

Latency counts from the due time, so a service that stalls can't hide its stall by holding back
the requests behind it. Nothing is ever sent twice.
"""

from __future__ import annotations

import select
from collections import deque
from errno import errorcode
from heapq import heapify, heappop, heappush
from itertools import count, cycle
from time import perf_counter
from typing import TYPE_CHECKING, Final

from stress.generator_process import allow_many_files, cpu_s, undisturbed
from stress.response import BadResponseError, CutResponseError, parse
from stress.shots import Outcome, Shot, Volley, check_loopback
from stress.sockets import connecting, sources_for

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from stress.response import Response
    from stress.shots import Target

_BURST: Final = 64
_READ_BYTES: Final = 65_536
_READ, _READ_WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT


def fire(
    target: Target,
    shots: Iterable[Shot],
    *,
    timeout_s: float,
    follow: Callable[[Outcome], Shot | None] | None = None,
    reuse: bool = False,
) -> Volley:
    """Send every request when it is due; return when each has its outcome.

    Args:
        target: where the service is.
        shots: the requests, in any order.
        timeout_s: bounds each one from when it is sent, connecting included, > 0.
        follow: names the request that follows one that has ended, or None; after an answer it
            goes on the same connection, where it is not ``fresh``.
        reuse: keep connections for later requests of the same source; otherwise each is opened
            for one request and what follows it.

    Raises:
        NotLoopbackError: the target is elsewhere.
    """
    check_loopback(target.host)
    allow_many_files()
    engine = _Engine(target, shots, timeout_s, follow, reuse=reuse)
    before_s = cpu_s()
    with undisturbed():
        interrupted = engine.run()
    took_s = engine.now_s()
    return Volley(
        engine.outcomes, engine.sent, engine.opened, cpu_s() - before_s, took_s, interrupted,
        engine.begun_s,
    )  # fmt: skip


class _Connection:
    """A socket, and the request that it is busy with. ``shot`` is None while it is idle."""

    __slots__ = ("fd", "lag_s", "received", "shot", "socket", "source", "unsent")

    def __init__(self, sock: socket.socket, source: str) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.source = source
        self.shot: Shot | None = None
        self.lag_s = 0.0
        self.unsent = b""
        self.received = b""


class _Engine:
    def __init__(
        self,
        target: Target,
        shots: Iterable[Shot],
        timeout_s: float,
        follow: Callable[[Outcome], Shot | None] | None,
        *,
        reuse: bool,
    ) -> None:
        self._target = target
        self._sources = cycle(sources_for(target))
        self._timeout_s = timeout_s
        self._follow = follow
        self._reuse = reuse
        self._numbers = count()
        self._due: list[tuple[float, int, Shot, _Connection | None]] = [
            (shot.due_s, next(self._numbers), shot, None) for shot in shots
        ]
        heapify(self._due)
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: dict[str, list[_Connection]] = {}
        self._expiring: deque[tuple[float, Shot, _Connection]] = deque()
        self.begun_s = 0.0
        self.outcomes: list[Outcome] = []
        self.sent = 0
        self.opened = 0

    def now_s(self) -> float:
        """Return the time since the beginning."""
        return perf_counter() - self.begun_s

    def run(self) -> bool:
        """Send everything; return whether Ctrl-C came before the end."""
        self.begun_s = perf_counter()
        try:
            while self._due or self.sent > len(self.outcomes):
                self._start_due()
                self._expire()
                self._read_answers()
        except KeyboardInterrupt:
            self._follow = None
            for connection in list(self._open.values()):
                if connection.shot is not None:
                    self._fail(connection, "interrupted")
            return True
        finally:
            for connection in list(self._open.values()):
                self._close(connection)
            self._epoll.close()
        return False

    def _start_due(self) -> None:
        # No more than a burst: however late we are, answers are read as well.
        for _ in range(_BURST):
            if not self._due or self._due[0][0] > self.now_s():
                return
            _due_s, _number, shot, connection = heappop(self._due)
            self._start(shot, connection)

    def _start(self, shot: Shot, connection: _Connection | None) -> None:
        self.sent += 1
        lag_s = self.now_s() - shot.due_s
        try:
            if connection is None or connection.fd < 0:
                connection = self._connection(shot)
        except OSError as error:
            self._ended(shot, lag_s, None, _name(error))
            return
        connection.shot, connection.lag_s = shot, lag_s
        connection.received, connection.unsent = b"", shot.wire
        self._expiring.append((shot.due_s + lag_s + self._timeout_s, shot, connection))
        self._send(connection)

    def _connection(self, shot: Shot) -> _Connection:
        source = shot.source or ("" if self._reuse else next(self._sources))
        idle = self._idle.get(source, [])
        while idle:
            connection = idle.pop()
            if connection.fd >= 0:
                return connection
        connection = _Connection(connecting(self._target, source or next(self._sources)), source)
        self.opened += 1
        self._open[connection.fd] = connection
        self._epoll.register(connection.fd, _READ)
        return connection

    def _send(self, connection: _Connection) -> None:
        # On loopback a connection mostly stands when connect() returns, so try at once.
        had = connection.unsent
        try:
            connection.unsent = had[connection.socket.send(had) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(connection, _name(error))
            return
        if connection.unsent:
            self._epoll.modify(connection.fd, _READ_WRITE)

    def _read_answers(self) -> None:
        wait_s = self._wait_s()
        # epoll itself only waits for whole milliseconds.
        if wait_s > 0 and not select.select((self._epoll,), (), (), wait_s)[0]:
            return
        for fd, events in self._epoll.poll(0):
            connection = self._open.get(fd)
            if connection is None:
                continue
            if connection.shot is None:
                self._close(connection)  # the server has given up an idle connection
                continue
            if connection.unsent and events & select.EPOLLOUT:
                self._send_rest(connection)
            if events & ~select.EPOLLOUT and connection.shot is not None:
                self._receive(connection)

    def _wait_s(self) -> float:
        next_s = [self._due[0][0]] if self._due else []
        if self._expiring:
            next_s.append(self._expiring[0][0])
        return min(next_s) - self.now_s() if next_s else 0.0

    def _send_rest(self, connection: _Connection) -> None:
        self._send(connection)
        if connection.fd >= 0 and not connection.unsent:
            self._epoll.modify(connection.fd, _READ)

    def _receive(self, connection: _Connection) -> None:
        try:
            part = connection.socket.recv(_READ_BYTES)
            connection.received += part
            response = parse(connection.received, ended=not part)
        except BlockingIOError:
            return
        except CutResponseError:
            self._fail(connection, "closed")
            return
        except BadResponseError:
            self._fail(connection, "malformed")
            return
        except OSError as error:
            self._fail(connection, _name(error))
            return
        if response is not None:
            self._answered(connection, response)

    def _answered(self, connection: _Connection, response: Response) -> None:
        shot, connection.shot = connection.shot, None
        if shot is None:
            return
        outcome = self._ended(shot, connection.lag_s, response)
        # An answer that came before the whole request was sent leaves nothing to be reused.
        if not response.reusable or connection.unsent:
            self._close(connection)
        following = self._follow(outcome) if self._follow is not None else None
        if following is not None:
            self._push(following, None if following.fresh else connection)
        if following is not None and not following.fresh:
            return
        if connection.fd >= 0 and self._reuse:
            self._idle.setdefault(connection.source, []).append(connection)
        else:
            self._close(connection)

    def _fail(self, connection: _Connection, failure: str) -> None:
        shot, connection.shot = connection.shot, None
        self._close(connection)
        if shot is None:
            return
        outcome = self._ended(shot, connection.lag_s, None, failure)
        following = self._follow(outcome) if self._follow is not None else None
        if following is not None:
            self._push(following, None)

    def _push(self, shot: Shot, connection: _Connection | None) -> None:
        heappush(self._due, (shot.due_s, next(self._numbers), shot, connection))

    def _ended(
        self, shot: Shot, lag_s: float, response: Response | None, failure: str = ""
    ) -> Outcome:
        outcome = Outcome(shot, lag_s, self.now_s() - shot.due_s, response, failure)
        self.outcomes.append(outcome)
        return outcome

    def _expire(self) -> None:
        now_s = self.now_s()
        while self._expiring and (
            self._expiring[0][0] <= now_s or self._expiring[0][2].shot is not self._expiring[0][1]
        ):
            _until_s, shot, connection = self._expiring.popleft()
            if connection.shot is shot:
                self._fail(connection, "time-out")

    def _close(self, connection: _Connection) -> None:
        if connection.fd >= 0:
            del self._open[connection.fd]
            connection.fd = -1
            connection.socket.close()


def _name(error: OSError) -> str:
    return errorcode.get(error.errno or 0, type(error).__name__)
