"""A worker that has no descriptor left for another connection, and one without an arbiter."""

import errno
import http.client
import logging
import os
import resource
import signal
import socket
import threading
from contextlib import closing

import pytest
from gunicorn_process import BOUND_S, get, gunicorn

from guard.gunicorn.shortage import REST_S, SHORT, TOLD_S, Shortage, Threads
from stress.faults.processes import lives

SHORT_S = 0.3


def test_accepting_rests_for_a_moment_and_is_told_now_and_then(caplog):
    now_s = 50.0
    shortage = Shortage(logging.getLogger("test"), lambda: now_s)
    assert not shortage.lasts
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    shortage.begin(error)
    assert shortage.lasts
    now_s += REST_S
    assert not shortage.lasts
    shortage.begin(error)
    assert shortage.lasts
    assert [record.getMessage() for record in caplog.records] == [
        "no connection can be accepted, trying again: Too many open files"
    ]
    now_s += TOLD_S
    shortage.begin(error)
    assert len(caplog.records) == 2


def test_what_is_no_shortage():
    assert errno.EAGAIN not in SHORT
    assert errno.EBADF not in SHORT


def test_where_no_thread_can_be_started_the_others_do_the_work(monkeypatch, caplog):
    held = threading.Event()
    with Threads(2, Shortage(logging.getLogger("test"))) as pool:
        first = pool.submit(held.wait, 60)

        def refuse(_thread):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as short:
            short.setattr(threading.Thread, "start", refuse)
            second = pool.submit(lambda: "done")
        assert not second.done()
        held.set()
        assert (first.result(60), second.result(60)) == (True, "done")
    assert "no thread can be started" in caplog.text


def test_without_any_thread_there_is_nobody_to_do_the_work(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with Threads(2, Shortage(logging.getLogger("test"))) as pool:
        with monkeypatch.context() as short:
            short.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                pool.submit(lambda: "done")
        assert pool.submit(lambda: "done").result(60) == "done"


@pytest.mark.process
def test_a_worker_without_a_free_descriptor_lives_and_serves_later(tmp_path):
    with gunicorn(tmp_path) as server:
        server.wait_ready()
        (pid,) = server.pids()
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=BOUND_S)
        with closing(kept):
            kept.request("GET", "/kept")
            assert kept.getresponse().read().decode() == str(pid)
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            # Lower than the number of each one that is open: none can be given out anew.
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, hard))
            try:
                waiting = socket.create_connection(("127.0.0.1", server.port), SHORT_S)
                waiting.sendall(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
                server.until(lambda: "no connection can be accepted" in server.output, "it says so")
                with pytest.raises(TimeoutError):
                    waiting.recv(1)
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            with closing(waiting):
                waiting.settimeout(BOUND_S)
                assert waiting.recv(4096).startswith(b"HTTP/1.1 200")
        assert get(server.port, "/after") == (200, str(pid))
        assert server.pids() == {pid}
        assert "Traceback" not in server.output


@pytest.mark.process
def test_workers_end_by_themselves_when_the_arbiter_is_killed(tmp_path):
    with gunicorn(tmp_path) as server:
        server.wait_ready()
        (pid,) = server.pids()
        server.signal(signal.SIGKILL)
        server.until(lambda: not lives(pid), "the worker has ended")
        assert any(line == f"{pid} exit" for line in server.notes)
        # Whoever starts it again finds its port free, and nothing of the old one.
        with socket.socket() as anew:
            anew.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            anew.bind(("127.0.0.1", server.port))
