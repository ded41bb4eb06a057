"""A proxy's X-Request-Start as the source of a request's age, in a real gunicorn."""

import http.client
from contextlib import closing

import pytest
from gunicorn_process import BOUND_S, gunicorn
from test_client_gone import GUARDED

from guard.clock import wall_s

pytestmark = pytest.mark.process

OLD_S = 20.0


def status_of(port, started):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    with closing(connection):
        connection.request("GET", "/run", headers={"X-Request-Start": started})
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize(
    ("worker_class", "proxies", "status"),
    [
        ("gthread", "127.0.0.1", 503),
        ("gthread", "10.0.0.0/8", 200),
        # It knows itself when a request came in.
        ("guard.gunicorn.worker.GuardWorker", "127.0.0.1", 200),
    ],
)
def test_the_age_that_a_trusted_proxy_tells_counts_where_the_worker_knows_none(
    tmp_path, worker_class, proxies, status
):
    environ = {"GUARD_TRUSTED_PROXIES": proxies, "GUARD_DEADLINE": "10s"}
    with gunicorn(tmp_path, "--worker-class", worker_class, app=GUARDED, **environ) as server:
        server.wait_ready()
        found, body = status_of(server.port, f"t={wall_s() - OLD_S:.3f}")
        assert (found, b'"deadline"' in body) == (status, status == 503)
