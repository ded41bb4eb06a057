"""How the worker handles its connections, on raw sockets against the real server."""

import http.client
import socket
from collections import deque
from contextlib import closing
from types import SimpleNamespace

import pytest
from gunicorn_process import APP, BOUND_S, get, gunicorn
from test_gunicorn_life import holding, joined

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


def worker_of(**changes):
    worker = GuardWorker.__new__(GuardWorker)
    worker.alive = True
    worker.cfg = SimpleNamespace(is_ssl=False, proxy_protocol="off")
    worker._queued_s = deque()
    worker._gate = None
    vars(worker).update(changes)
    return worker


def test_a_thread_stays_for_the_next_request_only_while_nobody_needs_it():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        conn = SimpleNamespace(sock=ours, parser=None, is_http2=False)
        assert not worker_of()._stays(conn)
        theirs.send(b"GET")
        assert worker_of()._stays(conn)
        assert not worker_of(_queued_s=deque([1.0]))._stays(conn)
        assert not worker_of(alive=False)._stays(conn)
        pressed = SimpleNamespace(pressed=lambda: True)
        assert not worker_of(_gate=pressed)._stays(conn)


def test_the_oldest_that_waits_for_a_thread_tells_the_age():
    assert worker_of().queue_age_s() == 0.0
    waiting = worker_of(_queued_s=deque([0.0, 1e9]))
    assert waiting.queue_age_s() > 0.0
    assert waiting.queue_depth == 2
