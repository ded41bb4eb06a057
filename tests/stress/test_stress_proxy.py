from __future__ import annotations

import socket
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from service.postgres_process import free_port
from stress.proxy import DELAY_S, Fault, Proxy, Quality, _Forwarder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connect = Callable[[], socket.socket]

pytestmark = pytest.mark.process
SHORT_S = 0.2


class _Echo(BaseRequestHandler):
    def handle(self) -> None:
        try:
            while piece := self.request.recv(1000):
                if piece == b"bye":
                    return
                self.request.sendall(piece)
        except ConnectionError:
            return


@pytest.fixture
def echo() -> Iterator[ThreadingTCPServer]:
    with ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: ThreadingTCPServer) -> Iterator[Proxy]:
    with Proxy(echo.server_address[1]) as running:
        yield running


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    """Makes connections through the proxy; all are closed afterwards."""
    made: list[socket.socket] = []

    def make() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=10.0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def says(connection: socket.socket, text: bytes = b"hello") -> bytes:
    connection.sendall(text)
    return connection.recv(1000)


def is_deaf(connection: socket.socket) -> bool:
    connection.settimeout(SHORT_S)
    try:
        connection.sendall(b"hello")
        return connection.recv(1000) is None
    except TimeoutError:
        return True


def test_without_a_fault_all_passes_and_an_end_too(connect: Connect) -> None:
    one, other = connect(), connect()
    assert (says(one), says(other, b"x" * 500)) == (b"hello", b"x" * 500)
    assert says(one, b"bye") == b""


def test_what_is_swallowed_stays_dead_and_what_comes_later_lives(
    proxy: Proxy, connect: Connect
) -> None:
    old, idle = connect(), connect()
    assert says(old) == says(idle) == b"hello"
    proxy.set(Fault.SWALLOW)
    new = connect()
    assert is_deaf(old)
    assert is_deaf(new)
    proxy.set(Fault.NONE)
    assert is_deaf(old)
    assert is_deaf(new)
    # A connection that lost nothing has noticed nothing.
    assert says(idle) == says(connect()) == b"hello"


def test_a_reset_meets_old_and_new_connections(proxy: Proxy, connect: Connect) -> None:
    old = connect()
    assert says(old) == b"hello"
    proxy.set(Fault.RESET)
    with pytest.raises(ConnectionError):
        says(old)
    with pytest.raises(ConnectionError):
        says(connect())
    proxy.set(Fault.NONE)
    assert says(connect()) == b"hello"


def test_a_delay_delays(proxy: Proxy, connect: Connect) -> None:
    slow = connect()
    proxy.set(Fault.DELAY)
    slow.settimeout(DELAY_S / 2)
    slow.sendall(b"hello")
    with pytest.raises(TimeoutError):
        slow.recv(1000)
    slow.settimeout(10.0)
    assert slow.recv(1000) == b"hello"


def test_what_is_half_open_is_dead_and_what_comes_later_lives(
    proxy: Proxy, connect: Connect
) -> None:
    old = connect()
    assert says(old) == b"hello"
    proxy.set(Fault.HALF_OPEN)
    assert says(connect()) == b"hello"
    assert is_deaf(old)
    proxy.set(Fault.NONE)
    assert is_deaf(old)


def test_what_is_lost_comes_late_and_in_order(echo: ThreadingTCPServer) -> None:
    with (
        Proxy(echo.server_address[1], Quality(loss_ratio=0.5)) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=60.0) as lossy,
    ):
        proxy.set(Fault.LOSS)
        lossy.sendall(b"first")
        proxy.set(Fault.NONE)
        lossy.sendall(b"second")
        heard = b""
        while len(heard) < len(b"firstsecond"):
            heard += lossy.recv(1000)
    assert heard == b"firstsecond"


def test_how_late_each_piece_is() -> None:
    forwarder = _Forwarder(1, Quality(0.02, 0.01, 0.5))
    assert forwarder._late_s() == 0.0
    forwarder.put(Fault.DELAY)
    delays = [forwarder._late_s() for _ in range(200)]
    assert 0.02 <= min(delays) < 0.022
    assert 0.028 < max(delays) <= 0.03
    forwarder.put(Fault.LOSS)
    late = [round(forwarder._late_s(), 3) for _ in range(2000)]
    assert {0.0, 0.2, 0.6, 1.4, 3.0, 5.0} <= {*late}
    assert 0.4 < sum(map(bool, late)) / len(late) < 0.6


def test_with_nobody_behind_it_connections_are_reset() -> None:
    with (
        Proxy(free_port()) as proxy,
        pytest.raises(ConnectionError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10.0) as connection,
    ):
        says(connection)


def test_a_proxy_that_does_not_run_takes_no_fault() -> None:
    with pytest.raises(ValueError, match="not running"):
        Proxy(1).set(Fault.NONE)
