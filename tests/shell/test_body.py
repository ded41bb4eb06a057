from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from guard import body
from guard.body import TAKEN_MAX_BYTES, body_taken

if TYPE_CHECKING:
    from collections.abc import Iterator


class Connection:
    """Both ends of a TCP connection, the server's read by gunicorn's own classes."""

    def __init__(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self.client = socket.create_connection(listener.getsockname())
            self.server, _ = listener.accept()
        self.unreader = SocketUnreader(self.server)

    def environ(self, length: int, **more: object) -> dict[str, Any]:
        return {
            "CONTENT_LENGTH": str(length),
            "gunicorn.socket": self.server,
            "wsgi.input": Body(LengthReader(self.unreader, length)),
            **more,
        }

    def left(self) -> bytes:
        """Return what the next request would begin with."""
        self.server.setblocking(False)  # noqa: FBT003 -- the standard library's
        try:
            return self.unreader.buf.getvalue() + self.server.recv(65536)
        except BlockingIOError:
            return self.unreader.buf.getvalue()

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # What was sent on loopback comes, however busy the machine is.
    monkeypatch.setattr(body, "WAIT_MS", 5000)


@pytest.mark.parametrize("read_ahead", [0, 3, 10])
def test_a_body_that_has_come_is_taken(connection: Connection, read_ahead: int) -> None:
    connection.client.sendall(b"0123456789"[read_ahead:])
    connection.unreader.buf.write(b"0123456789"[:read_ahead])
    assert body_taken(connection.environ(10))
    assert connection.left() == b""


def test_the_next_request_is_left_alone(connection: Connection) -> None:
    connection.client.sendall(b"0123456789GET /")
    assert body_taken(connection.environ(10))
    assert connection.left() == b"GET /"


def test_a_body_on_its_way_is_not_waited_for(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "WAIT_MS", 0)
    connection.client.sendall(b"01234")
    environ = connection.environ(10)
    assert not body_taken(environ)
    # Nothing of it was read, and the server's own reading still works.
    connection.client.sendall(b"56789")
    assert environ["wsgi.input"].read(10) == b"0123456789"
    assert not environ["wsgi.input"].failed


def test_a_client_that_has_gone(connection: Connection) -> None:
    connection.client.sendall(b"01234")
    connection.client.close()
    assert not body_taken(connection.environ(10))


def test_what_is_left_unread(connection: Connection) -> None:
    connection.client.sendall(b"x" * (TAKEN_MAX_BYTES + 1))
    assert not body_taken(connection.environ(TAKEN_MAX_BYTES + 1))
    assert not body_taken(connection.environ(1, HTTP_TRANSFER_ENCODING="chunked"))
    assert not body_taken(connection.environ(1, CONTENT_LENGTH="-1"))
    assert not body_taken(connection.environ(1, **{"wsgi.input": None}))
    assert not body_taken({"CONTENT_LENGTH": "1", "wsgi.input": None})
    assert body_taken({})
    assert body_taken({"CONTENT_LENGTH": "0"})


def test_a_unix_socket_is_closed() -> None:
    client, server = socket.socketpair()
    with client, server:
        client.sendall(b"x")
        reading = Body(LengthReader(SocketUnreader(server), 1))
        environ = {"CONTENT_LENGTH": "1", "gunicorn.socket": server, "wsgi.input": reading}
        assert not body_taken(environ)
