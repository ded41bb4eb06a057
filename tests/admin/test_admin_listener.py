"""The admin listener: slow clients, many scrapes, taking over an address."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from guard.admin import AdminListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def listener() -> Iterator[AdminListener]:
    made = AdminListener("127.0.0.1", 0, hello, threads_max=2, lifetime_s=60.0)
    made.bind()
    made.start()
    yield made
    made.close()


def get(listener: AdminListener, path: str = "/x") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(listener.host, listener.port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def silent(listener: AdminListener) -> socket.socket:
    return socket.create_connection((listener.host, listener.port), timeout=5)


def test_answers(listener: AdminListener) -> None:
    assert listener.bound
    assert get(listener, "/metrics") == (200, b"/metrics")


def test_silent_clients_make_room_oldest_first(listener: AdminListener) -> None:
    clients = [silent(listener) for _ in range(5)]
    assert get(listener) == (200, b"/x")
    assert clients[0].recv(1) == b""
    for client in clients:
        client.close()


def test_many_scrapes_at_once(listener: AdminListener) -> None:
    answers: list[tuple[int, bytes]] = []

    def scrape() -> None:
        answers.extend(get(listener) for _ in range(25))

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, b"/x")] * 50


def test_a_trickling_client_is_ended() -> None:
    class Jumping:
        def __init__(self) -> None:
            self.value = 0.0

        def now_s(self) -> float:
            self.value += 10.0
            return self.value

    listener = AdminListener("127.0.0.1", 0, hello, lifetime_s=5.0, clock=Jumping())
    listener.bind()
    listener.start()
    client = silent(listener)
    client.sendall(b"GET / HT")
    assert client.recv(1) == b""
    client.close()
    listener.close()


def test_nonsense_and_a_client_that_goes_away(listener: AdminListener) -> None:
    client = silent(listener)
    client.sendall(b"nonsense\r\n\r\n")
    assert b"400" in client.recv(1000)
    client.close()
    client = silent(listener)
    client.sendall(b"GET /")
    client.close()
    assert get(listener) == (200, b"/x")


def test_a_taken_address_is_an_error_at_bind(listener: AdminListener) -> None:
    with pytest.raises(OSError, match="in use") as error:
        AdminListener("127.0.0.1", listener.port, hello).bind()
    assert error.value.errno == errno.EADDRINUSE


def test_takes_over_when_the_old_one_goes(listener: AdminListener) -> None:
    heir = AdminListener(
        "127.0.0.1", listener.port, lambda e, s: hello({**e, "PATH_INFO": "new"}, s)
    )
    heir.start()
    assert get(listener) == (200, b"/x")
    assert not heir.bound
    listener.close()
    while not heir.bound:
        threading.Event().wait(0.01)
    assert get(heir) == (200, b"new")
    heir.close()


def test_closing_before_the_address_is_free(listener: AdminListener) -> None:
    heir = AdminListener("127.0.0.1", listener.port, hello)
    heir.start()
    heir.close()
    assert not heir.bound
    unstarted = AdminListener("127.0.0.1", 0, hello)
    unstarted.abandon()
    unstarted.close()


def test_a_forked_child_lets_go_of_everything(listener: AdminListener) -> None:
    waiting = silent(listener)
    get(listener)  # so that the silent one was accepted before
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child is not measured
        listener.abandon()
        os.write(write_end, b"x")
        os.read(read_end, 0)
        threading.Event().wait(30)
        os._exit(0)
    os.read(read_end, 1)
    listener.close()
    heir = AdminListener("127.0.0.1", listener.port, hello)
    heir.bind()
    heir.close()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(read_end)
    os.close(write_end)
    waiting.close()


def test_ipv6() -> None:
    listener = AdminListener("::1", 0, hello)
    try:
        listener.bind()
    except OSError:
        pytest.skip("no IPv6 here")
    listener.start()
    assert get(listener) == (200, b"/x")
    listener.close()
