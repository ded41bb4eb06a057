"""Refusals from the accept loop, on raw sockets against the real server."""

import inspect
import re
import socket
from contextlib import closing, suppress

import gunicorn as gunicorn_package
import pytest
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker
from gunicorn_process import APP, BOUND_S, get, gunicorn
from test_gunicorn_life import holding, joined

from guard.core.vocabulary import Reason
from guard.gunicorn.head import Head
from guard.gunicorn.reception import Fate, answered
from guard.gunicorn.worker import GuardWorker
from guard.problem import refusal

pytestmark = pytest.mark.process

GATED = (
    APP
    + """
from guard.core.vocabulary import Reason
from guard.problem import Response, refusal

class Gate:
    headers = ("X-Priority",)

    def pressed(self):
        return True

    def consider(self, environ, waiting_s):
        if environ["PATH_INFO"] == "/kept":
            return Response(200, (("Content-Length", "4"), ("Age", "2")), b"kept")
        if environ["PATH_INFO"] != "/shed" or environ["REMOTE_ADDR"] != "127.0.0.1":
            return None
        if environ.get("HTTP_X_PRIORITY") == "critical":
            return None
        return refusal(Reason.QUEUE_DELAY, 3)


worker.gate = Gate()
"""
)
HEAD = "GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with gunicorn(tmp_path_factory.mktemp("gated"), app=GATED) as server:
        server.wait_ready()
        yield server


class Client:
    """A raw connection that reads whole responses."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), BOUND_S)
        self.data = b""

    def send(self, text):
        self.sock.sendall(text.encode())

    def answer(self):
        """Return the next response's status and body."""
        while b"\r\n\r\n" not in self.data:
            self._more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        if head.split()[1] == b"100":
            return self.answer()
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(self.data) < length:
            self._more()
        body, self.data = self.data[:length], self.data[length:]
        return int(head.split()[1]), body

    def at_end(self):
        return not self.data and self.sock.recv(1) == b""

    def _more(self):
        part = self.sock.recv(65536)
        assert part, f"the connection was closed after {self.data!r}"
        self.data += part


@pytest.fixture
def client(running):
    connected = Client(running.port)
    with closing(connected.sock):
        yield connected


def test_a_refusal_leaves_while_every_thread_is_busy(tmp_path):
    with gunicorn(tmp_path, app=GATED) as server:
        server.wait_ready()
        threads = holding(server, 4)
        status, body = get(server.port, "/shed")
        assert status == 503
        assert '"queue_delay"' in body
        assert '"retry_after": 3' in body
        (tmp_path / "release").touch()
        joined(threads)


def test_the_connection_is_kept_and_serves_both_ways(client):
    for path, status in [("/shed", 503), ("/x", 200), ("/shed", 503), ("/shed", 503), ("/x", 200)]:
        client.send(HEAD.format(path, ""))
        assert client.answer()[0] == status


def test_the_gate_sees_who_asks_and_the_headers_that_it_named(client):
    client.send(HEAD.format("/shed", "X-Priority: normal\r\n"))
    assert client.answer()[0] == 503
    client.send(HEAD.format("/shed", "x-priority:critical \r\n"))
    assert client.answer()[0] == 200


def test_a_kept_answer_leaves_the_same_way(client):
    for path, answer in [("/kept", (200, b"kept")), ("/x", None), ("/kept", (200, b"kept"))]:
        client.send(HEAD.format(path, ""))
        assert client.answer() == answer or answer is None


def test_a_client_that_asks_for_it_is_closed(client):
    client.send(HEAD.format("/shed", "Connection: close\r\n"))
    assert client.answer()[0] == 503
    assert client.at_end()


def test_pipelined_requests_are_answered_in_order(client):
    client.send(HEAD.format("/shed", "") + HEAD.format("/x", ""))
    assert client.answer()[0] == 200
    assert client.answer()[0] == 200
    # The last of them has come whole, with nothing behind it.
    client.send(HEAD.format("/x", "") + HEAD.format("/x", "") + HEAD.format("/shed", ""))
    assert [client.answer()[0] for _ in range(3)] == [200, 200, 503]


def test_pipelined_requests_are_answered_though_their_client_sends_no_more(client):
    client.send(HEAD.format("/x", "") + HEAD.format("/shed", ""))
    client.sock.shutdown(socket.SHUT_WR)
    assert [client.answer()[0] for _ in range(2)] == [200, 503]


def test_silent_clients_hold_no_thread(running):
    silent = [Client(running.port) for _ in range(20)]
    try:
        assert get(running.port, "/x")[0] == 200
        for client in silent:
            client.send(HEAD.format("/x", ""))
            assert client.answer()[0] == 200
    finally:
        for client in silent:
            client.sock.close()


@pytest.mark.parametrize(
    "whole",
    [
        HEAD.format("/{}", ""),
        "POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n" + 30_000 * "b",
    ],
)
def test_clients_that_send_slowly_hold_no_thread(running, whole):
    requests = [whole.replace("{}", "x" if number % 2 else "shed") for number in range(20)]
    slow = [Client(running.port) for _ in requests]
    try:
        for half in (slice(0, -9), slice(-9, None)):
            # Twenty that have begun, four threads: a whole answer to somebody else all the same.
            assert get(running.port, "/x")[0] == 200
            for client, request in zip(slow, requests, strict=True):
                client.send(request[half])
        statuses = [client.answer()[0] for client in slow]
    finally:
        for client in slow:
            client.sock.close()
    assert statuses == [503, 200] * 10


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /shed HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "GET /shed HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /shed HTTP/1.0\r\nHost: h\r\n\r\n",
    ],
)
def test_what_is_not_plain_takes_the_normal_way(client, request_text):
    client.send(request_text)
    assert client.answer()[0] == 200


def test_a_request_that_has_come_with_its_whole_body_is_refused_too(client):
    for _ in range(2):
        client.send("POST /shed HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        assert client.answer()[0] == 503
    client.send(HEAD.format("/x", ""))
    assert client.answer()[0] == 200


def test_a_body_that_is_too_long_to_be_kept_takes_the_normal_way(client):
    client.send("POST /shed HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\na")
    assert client.answer()[0] == 200


def test_a_body_that_looks_like_a_request_is_none(client):
    body = HEAD.format("/shed", "")
    client.send(f"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n")
    client.send(body)
    assert client.answer()[0] == 200
    client.send(HEAD.format("/shed", ""))
    assert client.answer()[0] == 503


def test_clients_that_go_away_leave_nothing_behind(running):
    for _ in range(50):
        gone = Client(running.port)
        gone.send(HEAD.format("/shed", ""))
        gone.answer()
        gone.sock.close()
    assert get(running.port, "/shed")[0] == 503
    assert get(running.port, "/x")[0] == 200


def test_a_client_that_does_not_read_is_dropped_and_never_waited_for():
    ours, theirs = socket.socketpair()
    head = Head({}, keep_alive=True)
    with ours, theirs:
        assert answered(ours, refusal(Reason.QUEUE_DELAY, 3), head) is Fate.REFUSED
        ours.settimeout(0.0)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        assert answered(ours, refusal(Reason.QUEUE_DELAY, 3), head) is Fate.GONE


def test_gunicorn_still_has_the_parts_that_the_worker_touches():
    assert gunicorn_package.version_info[0] == 27
    assert issubclass(GuardWorker, ThreadWorker)
    for name in (
        "_cap_keepalive", "accept", "enqueue_req", "finish_request", "get_thread_pool", "handle",
        "load_wsgi", "murder_keepalived", "murder_pending", "notify",
        "on_client_socket_readable", "on_pending_socket_readable", "set_accept_enabled",
    ):  # fmt: skip
        assert callable(getattr(ThreadWorker, name))
    used = set(ThreadWorker.__init__.__code__.co_names)
    assert {
        "keepalived_conns", "method_queue", "nr_conns", "pending_conns", "poller", "tpool",
        "worker_connections",
    } <= used  # fmt: skip
    connection = set(TConn.__init__.__code__.co_names)
    assert {
        "client",
        "sock",
        "parser",
        "initialized",
        "data_ready",
        "timeout",
        "is_http2",
    } <= connection
    # What the overridden methods do apart from what GuardWorker does in their place.
    assert "nr_conns" in ThreadWorker.accept.__code__.co_names
    assert "submit" in ThreadWorker.enqueue_req.__code__.co_names
    assert {"append", "register", "setblocking", "set_timeout"} <= set(
        ThreadWorker.finish_request.__code__.co_names
    )
    assert "close" in ThreadWorker.finish_request.__code__.co_names
    # What gunicorn asks of the places where connections wait; ``Waiting`` can no more than that.
    places = {
        match
        for method in vars(ThreadWorker).values()
        if inspect.isfunction(method)
        for match in re.findall(
            r"self\.(?:keepalived|pending)_conns(\.\w+|\[[^]]*\])", inspect.getsource(method)
        )
    }
    assert places == {".append", ".remove", ".popleft", "[0]"}
    # A parser that is there already is not made anew, and what it is given comes first.
    assert "if self.parser is None" in inspect.getsource(TConn.init)
    unreader = SocketUnreader(socket.socket())
    unreader.unread(b"second")
    unreader.unread(b"first ")
    assert unreader.take_buffered() == b"first second"
    unreader.sock.close()
    assert callable(TConn.close)
