"""How the worker handles its connections, on raw sockets against the real server."""

import http.client
import selectors
import socket
import threading
from collections import deque
from contextlib import closing, suppress
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn_process import APP, BOUND_S, get, gunicorn
from test_gunicorn_life import holding, joined

from guard.gunicorn.client import Connection
from guard.gunicorn.reception import Reception
from guard.gunicorn.waiting import Waiting
from guard.gunicorn.worker import GuardWorker

STAMPED = (
    APP
    + """
import time

plain = app


def app(environ, start_response):
    if environ["PATH_INFO"] != "/age":
        return plain(environ, start_response)
    body = str(time.monotonic() - environ["guard.accepted_s"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with gunicorn(tmp_path_factory.mktemp("worker"), app=STAMPED) as server:
        server.wait_ready()
        yield server


@pytest.mark.process
def test_the_application_hears_how_long_its_request_has_waited_for_a_thread(tmp_path):
    with gunicorn(tmp_path, app=STAMPED) as server:
        server.wait_ready()
        threads = holding(server, 4)
        late = http.client.HTTPConnection("127.0.0.1", server.port, timeout=BOUND_S)
        with closing(late):
            late.request("GET", "/age")
            # Another connection that the loop has handled since: the request is queued by now.
            with closing(socket.create_connection(("127.0.0.1", server.port), BOUND_S)) as other:
                other.sendall(b"GET / HTTP/1.1\r\n")
                other.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    other.recv(1)
            (tmp_path / "release").touch()
            joined(threads)
            waited_s = float(late.getresponse().read())
    assert waited_s >= 0.2


@pytest.mark.process
def test_many_requests_on_one_connection(running):
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=BOUND_S)
    with closing(client):
        for _ in range(50):
            client.request("GET", "/age")
            assert 0.0 <= float(client.getresponse().read()) < BOUND_S


@pytest.mark.process
def test_head_and_body_come_together(running):
    with closing(socket.create_connection(("127.0.0.1", running.port), BOUND_S)) as client:
        client.sendall(b"GET /age HTTP/1.1\r\nHost: h\r\n\r\n")
        head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert float(body) >= 0.0


@pytest.mark.process
def test_clients_that_never_close_stall_nobody(running):
    """Stock gthread waits two seconds for each of these on the thread that accepts."""
    lazy = [socket.create_connection(("127.0.0.1", running.port), BOUND_S) for _ in range(20)]
    try:
        for client in lazy:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        for client in lazy:
            text = b""
            while part := client.recv(4096):
                text += part
            # The server has closed its side, the client has not.
            assert text.startswith(b"HTTP/1.1 200")
        assert get(running.port, "/x")[0] == 200
        # What a client still sends is swallowed; at the latest after two seconds all is over.
        lazy[0].sendall(b"more")
        for client in lazy[1:]:
            client.shutdown(socket.SHUT_WR)
        running.until(lambda: _ended(lazy[0]), "the server lets go of a client that never closes")
        assert get(running.port, "/x")[0] == 200
    finally:
        for client in lazy:
            client.close()


def _ended(client):
    try:
        client.sendall(b"more")
    except OSError:
        return True
    return False


IMPATIENT = (
    APP
    + """
from guard.gunicorn import worker as its_worker

its_worker.REQUEST_WITHIN_S = 0.5
"""
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Eight places for connections, four threads, and half a second for a whole request."""
    options = ("--worker-connections", "8")
    with gunicorn(tmp_path_factory.mktemp("small"), *options, app=IMPATIENT) as server:
        server.wait_ready()
        yield server


@pytest.mark.process
def test_a_request_that_does_not_become_whole_is_given_up(small):
    with closing(socket.create_connection(("127.0.0.1", small.port), BOUND_S)) as slow:
        # Bytes that trickle in gain no time.
        answer = b""
        slow.sendall(b"GET / HTTP/1.1\r\n")
        slow.settimeout(0.1)
        while not answer:
            slow.sendall(b"X: y\r\n")
            with suppress(TimeoutError):
                answer = slow.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.process
def test_a_connection_that_never_says_anything_is_closed(small):
    with closing(socket.create_connection(("127.0.0.1", small.port), BOUND_S)) as silent:
        assert silent.recv(1) == b""


@pytest.mark.process
@pytest.mark.parametrize("said", [b"", b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_idle_connections_lock_nobody_out(small, said):
    idle = []
    try:
        for _ in range(12):
            idle.append(socket.create_connection(("127.0.0.1", small.port), BOUND_S))
            if said:
                idle[-1].sendall(said)
                assert idle[-1].recv(4096).startswith(b"HTTP/1.1 200")
        for _ in range(3):
            assert get(small.port, "/x")[0] == 200
    finally:
        for each in idle:
            each.close()


def worker_of(**changes):
    worker = GuardWorker.__new__(GuardWorker)
    worker.alive = True
    worker._queued_s = deque()
    worker._reception = Reception(None)
    vars(worker).update(changes)
    return worker


@pytest.fixture
def kept():
    """A connection whose last request was answered, and its client's end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parser = get_parser(Config(), ours, ("127.0.0.1", 1))
        yield SimpleNamespace(sock=ours, parser=parser, is_http2=False, begun=b""), theirs


def test_a_thread_stays_for_the_next_request_only_while_nobody_needs_it(kept):
    conn, client = kept
    assert not worker_of()._stays(conn)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert not worker_of(_queued_s=deque([1.0]))._stays(conn)
    assert not worker_of(alive=False)._stays(conn)
    pressed = SimpleNamespace(pressed=lambda: True)
    assert not worker_of(_reception=pressed)._stays(conn)
    assert worker_of()._stays(conn)
    assert conn.parser.unreader.take_buffered() == b"GET / HTTP/1.1\r\n\r\n"


def test_a_thread_does_not_stay_for_a_request_that_is_still_coming(kept):
    conn, client = kept
    client.send(b"GET / HT")
    assert not worker_of()._stays(conn)
    assert conn.begun == b"GET / HT"


def test_a_thread_does_not_stay_for_a_client_that_has_gone(kept):
    conn, client = kept
    client.close()
    assert not worker_of()._stays(conn)
    assert conn.begun == b""


def test_the_oldest_that_waits_for_a_thread_tells_the_age():
    assert worker_of().queue_age_s() == 0.0
    waiting = worker_of(_queued_s=deque([0.0, 1e9]))
    assert waiting.queue_age_s() > 0.0
    assert waiting.queue_depth == 2


@pytest.fixture
def returned(kept):
    """A worker to which a thread gives a connection back, the connection, and its client."""
    before, client = kept
    conn = Connection(Config(), before.sock, ("127.0.0.1", 1), ("127.0.0.1", 2), see_off=None)
    conn.parser = before.parser
    poller = selectors.DefaultSelector()
    deferred = []
    worker = worker_of(
        _handing_back=threading.Lock(), keepalived_conns=Waiting(), poller=poller,
        method_queue=SimpleNamespace(defer=lambda *call: deferred.append(call)),
        deferred=deferred, cfg=Config(),
    )  # fmt: skip
    with closing(poller):
        yield worker, conn, client


def test_a_connection_is_given_back_to_the_loop_without_waking_it(returned):
    worker, conn, client = returned
    worker.handle = lambda _conn: True
    worker._serve(conn)

    assert worker.deferred == []
    assert list(worker.keepalived_conns) == [conn]
    client.send(b"GET")
    assert [key.fileobj for key, _ in worker.poller.select(0)] == [conn.sock]


@pytest.mark.parametrize(
    ("kept_alive", "alive", "read_ahead", "closed"),
    [
        (False, True, b"", False),
        (True, False, b"", False),
        (True, True, b"GET /", False),
        (True, True, b"", True),
    ],
)
def test_the_loop_is_woken_for_what_it_must_see_to(returned, kept_alive, alive, read_ahead, closed):
    worker, conn, _ = returned
    worker.handle, worker.alive = lambda _conn: kept_alive, alive
    conn.parser.unreader.unread(read_ahead)
    if closed:
        conn.sock = SimpleNamespace(fileno=lambda: -1, settimeout=lambda _: None)
    worker._serve(conn)

    ((finish, found, served),) = worker.deferred
    assert finish == worker.finish_request
    assert found is conn
    assert served.result() is kept_alive
    assert list(worker.keepalived_conns) == []


def test_a_thread_that_dies_leaves_its_connection_to_the_loop(returned):
    worker, conn, _ = returned

    def dies(_conn):
        raise SystemExit

    worker.handle = dies
    with pytest.raises(SystemExit):
        worker._serve(conn)
    assert worker.deferred[0][2].result() is False
