from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from guard.socket_age import SOCKET_KEY, hung_up, socket_age_s

if TYPE_CHECKING:
    from collections.abc import Iterator


linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's figure is Linux's")


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            yield client, accepted


def age_s(sock: object) -> float:
    return socket_age_s({SOCKET_KEY: sock})


@linux
def test_the_age_grows_while_nothing_comes_and_falls_with_new_data() -> None:
    with pair() as (client, accepted):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        accepted.recv(100)
        while (old_s := age_s(accepted)) < 0.1:
            # Nothing is sent meanwhile, so only the kernel's clock moves this on.
            accepted.settimeout(0.02)
            with pytest.raises(TimeoutError):
                accepted.recv(1)
        client.sendall(b"x")
        accepted.settimeout(20)
        assert accepted.recv(1) == b"x"
        assert 0.0 <= age_s(accepted) < old_s


@linux
def test_data_that_was_not_read_yet_ages_too() -> None:
    with pair() as (client, accepted):
        client.sendall(b"x")
        accepted.settimeout(20)
        assert accepted.recv(1, socket.MSG_PEEK) == b"x"
        client.settimeout(0.02)
        while age_s(accepted) == 0.0:
            with pytest.raises(TimeoutError):
                client.recv(1)


def left(accepted: socket.socket) -> bool:
    """Wait for the client's end to come in, which reading shows; then ask."""
    accepted.settimeout(20)
    with suppress(ConnectionResetError):
        while accepted.recv(100, socket.MSG_PEEK) not in {b"", b"unread"}:
            pass
    poll = select.poll()
    poll.register(accepted, select.POLLRDHUP)
    assert poll.poll(20_000)
    return hung_up({SOCKET_KEY: accepted})


@linux
def test_a_client_that_closes_is_seen_also_behind_what_it_sent() -> None:
    with pair() as (client, accepted):
        assert not hung_up({SOCKET_KEY: accepted})
        client.sendall(b"unread")
        assert not hung_up({SOCKET_KEY: accepted})
        client.close()
        assert left(accepted)


@linux
def test_a_client_that_resets_its_connection_is_seen() -> None:
    with pair() as (client, accepted):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert left(accepted)


@linux
def test_half_a_farewell_can_not_be_told_from_a_whole_one() -> None:
    with pair() as (client, accepted):
        client.shutdown(socket.SHUT_WR)
        assert left(accepted)


def test_where_nothing_can_be_told_the_client_is_there() -> None:
    assert not hung_up({})
    assert not hung_up({SOCKET_KEY: object()})
    one, other = socket.socketpair()
    with one:
        other.close()
        assert not hung_up({SOCKET_KEY: one})
    assert not hung_up({SOCKET_KEY: one})


def test_a_server_that_gives_no_socket_tells_no_age() -> None:
    assert socket_age_s({}) == 0.0


def test_a_unix_socket_has_no_age() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert age_s(one) == 0.0


def test_a_closed_socket_has_no_age() -> None:
    with pair() as (_, accepted):
        accepted.close()
        assert age_s(accepted) == 0.0


def test_something_that_is_no_socket_has_no_age() -> None:
    assert age_s(object()) == 0.0


def test_a_kernel_that_tells_less_tells_no_age() -> None:
    class Short(socket.socket):
        """A socket of a kernel with a shorter answer."""

        def getsockopt(self, *args: int) -> bytes:
            return super().getsockopt(*args)[:20]

    with pair() as (_, accepted), Short(fileno=accepted.detach()) as short:
        assert age_s(short) == 0.0


@linux
def test_a_tls_socket_tells_its_transports_age() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pair() as (client, _):
        wrapped = context.wrap_socket(client, server_hostname="x", do_handshake_on_connect=False)
        with wrapped:
            assert age_s(wrapped) >= 0.0
