"""The generator against servers that misbehave, each a thread with raw sockets."""

from __future__ import annotations

import gc
import os
import socket
import struct
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from stress import open_loop
from stress.generator_process import undisturbed
from stress.open_loop import fire
from stress.shots import Shot, Target
from stress.sockets import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stress.shots import Outcome, Volley

_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_WAIT_S = 10.0


class _Server:
    """Gives each connection to ``serve`` in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._threads: list[Thread] = []
        self.peers: list[tuple[str, int]] = []
        self.target = Target("127.0.0.1", self._listener.getsockname()[1])

    def run(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            thread = Thread(target=self._one, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(_WAIT_S)
        with connection:
            self._serve(connection)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def _serving(serve: Callable[[socket.socket], None]) -> Iterator[_Server]:
    server = _Server(serve)
    accepting = Thread(target=server.run)
    accepting.start()
    try:
        yield server
    finally:
        server.stop()
        accepting.join()


def _read_request(connection: socket.socket) -> bool:
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return False
        if not part:
            return False
        text += part
    return True


def _answering(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        while _read_request(connection):
            connection.sendall(answer)

    return serve


def _failures(volley: Volley) -> list[str]:
    assert volley.sent == len(volley.outcomes)
    return [outcome.failure for outcome in volley.outcomes]


def _shots(count: int, over_s: float = 0.0) -> list[Shot]:
    return [Shot(n * over_s / count, _REQUEST, n) for n in range(count)]


def test_every_request_is_answered_on_a_connection_of_its_own() -> None:
    with _serving(_answering(_OK)) as server:
        volley = fire(server.target, _shots(40, 0.1), timeout_s=_WAIT_S)

    assert [outcome.response.body for outcome in volley.outcomes if outcome.response] == [
        b"ok"
    ] * 40
    assert sorted(outcome.shot.what for outcome in volley.outcomes) == list(range(40))
    assert volley.connections == len(set(server.peers)) == 40
    assert {host for host, _port in server.peers} == set(SOURCES)


def test_connections_are_kept_where_it_is_asked() -> None:
    with _serving(_answering(_OK)) as server:
        volley = fire(server.target, _shots(20, 1.0), timeout_s=_WAIT_S, reuse=True)

    assert _failures(volley) == [""] * 20
    assert volley.connections < 20


def test_a_source_keeps_its_connections_to_itself() -> None:
    shots = [Shot(n / 20, _REQUEST, n, f"127.0.0.{40 + n % 2}") for n in range(10)]
    with _serving(_answering(_OK)) as server:
        volley = fire(server.target, shots, timeout_s=_WAIT_S, reuse=True)

    assert _failures(volley) == [""] * 10
    assert {host for host, _port in server.peers} == {"127.0.0.40", "127.0.0.41"}


def test_a_stall_holds_nothing_back() -> None:
    go, arrived = Event(), []

    def serve(connection: socket.socket) -> None:
        if _read_request(connection):
            arrived.append(1)
            if len(arrived) == 100:
                go.set()
            go.wait(_WAIT_S)
            connection.sendall(_OK)

    with _serving(serve) as server:
        volley = fire(server.target, _shots(100, 0.5), timeout_s=_WAIT_S)

    assert _failures(volley) == [""] * 100
    for outcome in volley.outcomes:
        assert outcome.shot.due_s + outcome.latency_s >= 0.494, "each saw its rest of the stall"


def test_a_server_that_accepts_nobody_holds_nothing_back() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        target = Target("127.0.0.1", listener.getsockname()[1])
        volley = fire(target, _shots(50), timeout_s=0.2)

    assert _failures(volley) == ["time-out"] * 50


def _reset(connection: socket.socket) -> None:
    _read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _half(connection: socket.socket) -> None:
    _read_request(connection)
    connection.sendall(_OK[:-1])


def _silent(connection: socket.socket) -> None:
    _read_request(connection)


def _nonsense(connection: socket.socket) -> None:
    _read_request(connection)
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")
    _read_request(connection)


@pytest.mark.parametrize(
    ("serve", "failure"),
    [(_reset, "ECONNRESET"), (_half, "closed"), (_silent, "closed"), (_nonsense, "malformed")],
)
def test_a_broken_answer_is_a_failure_of_its_own_kind(
    serve: Callable[[socket.socket], None], failure: str
) -> None:
    with _serving(serve) as server:
        volley = fire(server.target, _shots(5), timeout_s=_WAIT_S)

    assert _failures(volley) == [failure] * 5


def test_an_answer_in_pieces_is_put_together() -> None:
    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _read_request(connection):
            for byte in _OK:
                connection.sendall(bytes([byte]))
            _read_request(connection)

    with _serving(serve) as server:
        volley = fire(server.target, _shots(3), timeout_s=_WAIT_S)

    assert _failures(volley) == [""] * 3


def test_a_request_larger_than_the_sockets_is_sent_whole() -> None:
    wire = b"POST / HTTP/1.1\r\nX: " + b"a" * 8_000_000 + b"\r\n\r\n"
    with _serving(_answering(_OK)) as server:
        volley = fire(server.target, [Shot(0.0, wire)], timeout_s=_WAIT_S)

    assert _failures(volley) == [""]


def test_nobody_listening_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target("127.0.0.1", listener.getsockname()[1])

    assert _failures(fire(target, _shots(3), timeout_s=_WAIT_S)) == ["ECONNREFUSED"] * 3


def test_no_port_left_is_a_failure_of_the_generators_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def connecting(*_: object) -> socket.socket:
        raise OSError(99, "no port")

    monkeypatch.setattr(open_loop, "connecting", connecting)

    assert (
        _failures(fire(Target("127.0.0.1", 9), _shots(2), timeout_s=1.0)) == ["EADDRNOTAVAIL"] * 2
    )


@pytest.mark.parametrize("closes", [True, False])
def test_what_follows_an_answer_goes_on_its_connection_if_that_stands(*, closes: bool) -> None:
    def serve(connection: socket.socket) -> None:
        while _read_request(connection):
            connection.sendall(_OK)
            if closes:
                return

    def follow(outcome: Outcome) -> Shot | None:
        if outcome.shot.what != "first":
            return None
        return Shot(outcome.shot.due_s + outcome.latency_s + 0.05, _REQUEST, "second")

    with _serving(serve) as server:
        volley = fire(
            server.target, [Shot(0.0, _REQUEST, "first")], timeout_s=_WAIT_S, follow=follow
        )

    assert _failures(volley) == ["", ""]
    assert [outcome.shot.what for outcome in volley.outcomes] == ["first", "second"]
    assert volley.connections == (2 if closes else 1)


def test_an_interrupted_run_tells_what_was_under_way() -> None:
    def follow(_outcome: Outcome) -> Shot | None:
        raise KeyboardInterrupt

    def serve(connection: socket.socket) -> None:
        if _read_request(connection):
            if not arrived.is_set():
                arrived.set()
                _read_request(connection)
            connection.sendall(_OK)

    arrived = Event()
    with _serving(serve) as server:
        shots = [Shot(0.0, _REQUEST), Shot(0.1, _REQUEST), Shot(_WAIT_S, _REQUEST)]
        volley = fire(server.target, shots, timeout_s=_WAIT_S, follow=follow)

    assert volley.interrupted
    assert sorted(_failures(volley)) == ["", "interrupted"]


def test_the_thread_is_afterwards_scheduled_as_before() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    with undisturbed():
        assert not gc.isenabled()
    after = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    assert after == before
    assert gc.isenabled()
