"""Requests whose clients hang up while they wait for a thread, and a client's own deadline."""

import socket
from contextlib import ExitStack, closing

import pytest
from gunicorn_process import APP, BOUND_S, get, gunicorn
from test_early_gate import Client
from test_gunicorn_life import holding, joined

pytestmark = pytest.mark.process

GUARDED = (
    APP
    + """
from guard.assembly import assemble

plain = app


def noted(environ, start_response):
    if environ["PATH_INFO"] == "/run":
        note("ran")
    return plain(environ, start_response)


assembly = assemble(worker.settings, recorder=worker.recorder, queues=worker.queues)
app = assembly.wrap(noted)
worker.gate = app
worker.on_exit(assembly.close)
"""
)
ENVIRON = {"GUARD_EXEMPT_PATHS": "/hold", "GUARD_DEADLINE": "30s"}
CALLS = 30
THREADS = 4
DROPPED = 'guard_admission_decisions_total{decision="dropped",lane="read",reason="client_gone"}'
ANSWERED = 'guard_http_responses_total{code="499",method="GET",route="(unmatched)"}'


def ran(server):
    return sum(note.endswith(" ran") for note in server.notes)


def queued_and_gone(server):
    """Occupy every thread, queue calls behind them, and let their clients hang up."""
    threads = holding(server, THREADS)
    for _ in range(CALLS):
        with closing(socket.create_connection(("127.0.0.1", server.port), BOUND_S)) as client:
            client.sendall(b"GET /run HTTP/1.1\r\nHost: h\r\n\r\n")
    server.until(
        lambda: server.metric('guard_queue_depth{queue="executor"}') == CALLS, "all are queued"
    )
    return threads


def test_none_of_the_queued_calls_runs_whose_clients_have_gone(tmp_path):
    with gunicorn(tmp_path, app=GUARDED, **ENVIRON) as server:
        server.wait_ready()
        threads = queued_and_gone(server)
        (tmp_path / "release").touch()
        joined(threads)
        server.until(lambda: server.metric(DROPPED) == CALLS, "all are dropped")
        assert ran(server) == 0
        assert server.metric(ANSWERED) == CALLS
        assert "reason=client_gone" in server.output
        assert get(server.port, "/run")[0] == 200
        assert ran(server) == 1


def test_on_plain_gthread_few_of_them_run(tmp_path):
    with gunicorn(tmp_path, "--worker-class", "gthread", app=GUARDED, **ENVIRON) as server:
        server.wait_ready()
        threads = queued_and_gone(server)
        (tmp_path / "release").touch()
        joined(threads)
        server.until(lambda: server.metric(DROPPED) + ran(server) == CALLS, "all have ended")
        # While no queue was seen one age in eight is asked for.
        assert ran(server) <= 8


def test_the_accept_loop_honours_a_clients_deadline_while_every_thread_is_busy(tmp_path):
    with gunicorn(tmp_path, app=GUARDED, **ENVIRON) as server, ExitStack() as stack:
        server.wait_ready()
        threads = holding(server, THREADS)
        first, late = (Client(server.port) for _ in range(2))
        for client in (first, late):
            stack.enter_context(closing(client.sock))
        first.send("GET /run HTTP/1.1\r\nHost: h\r\nX-Request-Timeout-Ms: 20000\r\n\r\n")
        server.until(
            lambda: server.metric('guard_queue_depth{queue="executor"}') == 1, "one is queued"
        )
        late.send("GET /run HTTP/1.1\r\nHost: h\r\nx-request-timeout-ms: 0\r\n\r\n")
        status, body = late.answer()
        assert (status, b'"deadline"' in body) == (503, True)
        assert ran(server) == 0
        (tmp_path / "release").touch()
        joined(threads)
        assert first.answer()[0] == 200
