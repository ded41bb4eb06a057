"""What does not come as plain HTTP/1.1 over TCP, beside a gate that refuses."""

import socket
import ssl
import subprocess
from contextlib import closing

import pytest
from gunicorn_process import BOUND_S, get, gunicorn
from programs import program
from test_early_gate import GATED, HEAD, Client

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
         "-subj", "/CN=localhost", "-days", "1"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--certfile", str(certificate), "--keyfile", str(key))
    with gunicorn(folder, *options, app=GATED) as server:
        server.wait_ready()
        yield server, certificate


def tls_client(secured):
    server, certificate = secured
    client = Client(server.port)
    context = ssl.create_default_context(cafile=str(certificate))
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    return client


def test_under_tls_every_request_takes_the_normal_way(secured):
    client = tls_client(secured)
    with closing(client.sock):
        for _ in range(3):
            client.send(HEAD.format("/shed", ""))
            assert client.answer()[0] == 200
        client.send(HEAD.format("/x", "")[:20])
        client.send(HEAD.format("/x", "")[20:] + HEAD.format("/shed", ""))
        assert [client.answer()[0] for _ in range(2)] == [200, 200]
        client.send(HEAD.format("/x", "Connection: close\r\n"))
        assert client.answer()[0] == 200
        assert client.at_end()


def test_clients_that_leave_in_the_middle_of_tls_leave_nothing_behind(secured):
    for said in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
        gone = Client(secured[0].port)
        gone.sock.sendall(said)
        gone.sock.close()
    client = tls_client(secured)
    with closing(client.sock):
        client.send(HEAD.format("/x", ""))
        assert client.answer()[0] == 200


def test_a_refusal_over_a_unix_socket(tmp_path):
    app = GATED.replace('or environ["REMOTE_ADDR"] != "127.0.0.1"', 'or environ["REMOTE_ADDR"]')
    path = tmp_path / "service"
    with gunicorn(tmp_path, "--bind", f"unix:{path}", app=app) as server:
        server.wait_ready()
        client = Client.__new__(Client)
        client.data, client.sock = b"", socket.socket(socket.AF_UNIX)
        client.sock.settimeout(BOUND_S)
        with closing(client.sock):
            client.sock.connect(str(path))
            for target, status in (("/shed", 503), ("/x", 200), ("/shed", 503)):
                client.send(HEAD.format(target, ""))
                assert client.answer()[0] == status
        assert get(server.admin_port, "/livez")[0] == 200
