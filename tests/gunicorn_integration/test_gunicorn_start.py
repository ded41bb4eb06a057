"""How gunicorn starts, and above all how it refuses to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from gunicorn_process import CONFIG, Gunicorn, get, gunicorn

from service.postgres_process import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process


def refused(running: Gunicorn, status: int) -> list[str]:
    """Wait for the refusal; return our own lines."""
    assert running.wait() == status, running.output
    assert "Traceback" not in running.output
    return [line for line in running.lines if line.startswith("guard: ")]


def test_banner_and_health(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running:
        running.wait_ready()
        output = running.output
        assert f"service   http://0.0.0.0:{running.port}" in output
        assert f"metrics   http://127.0.0.1:{running.admin_port}/metrics" in output
        assert "database  none" in output
        assert "capacity  1 worker x 4 threads (2 in reserve) x pool: read 1" in output
        assert "mode      enforce, policy predictive" in output
        assert f"try       curl -i http://127.0.0.1:{running.port}/" in output
        assert get(running.admin_port, "/livez")[0] == 200
        status, pid = get(running.port, "/x")
        assert status == 200
        assert running.pids() == {int(pid)}
        assert running.metric("guard_http_responses_total") == 1


def test_without_admin_listener(tmp_path: Path) -> None:
    with gunicorn(tmp_path, GUARD_ADMIN_BIND="off") as running:
        running.until(lambda: "metrics   off" in running.output, "the banner")
        running.until(lambda: "Booting worker" in running.output, "the worker")
        assert get(running.port, "/x")[0] == 200


def test_port_taken(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:  # noqa: S104 - as gunicorn binds
        port = other.getsockname()[1]
        with gunicorn(tmp_path, port=port) as running:
            assert refused(running, os.EX_UNAVAILABLE) == [
                (
                    f"guard: can't listen on 0.0.0.0:{port}: the port is in use by another "
                    "process; set PORT to another one\n"
                )
            ]


def test_admin_port_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        pidfile = tmp_path / "pid"
        with gunicorn(tmp_path, "-p", str(pidfile), GUARD_ADMIN_BIND=bind) as running:
            assert refused(running, os.EX_UNAVAILABLE) == [
                f"guard: GUARD_ADMIN_BIND={bind}: the address is in use by another process\n"
            ]
    assert not pidfile.exists()


def test_every_bad_setting_is_told(tmp_path: Path) -> None:
    with gunicorn(tmp_path, GUARD_MODE="bold", GUARD_THREADS="many", GUARD_WROKERS="1") as running:
        told = refused(running, os.EX_CONFIG)
    assert len(told) == 3
    for name in ("GUARD_MODE='bold'", "GUARD_THREADS='many'", "GUARD_WROKERS"):
        assert any(name in line for line in told)


def test_options_that_go_past_the_guard(tmp_path: Path) -> None:
    options = ("--workers", "2", "--threads", "1", "--worker-class", "sync")
    with gunicorn(tmp_path, *options) as running:
        told = refused(running, os.EX_CONFIG)
    assert [line.partition(":")[2].partition(":")[0].strip() for line in told] == [
        "worker class sync", "--workers 2", "--threads 1",
    ]  # fmt: skip


def test_preload_is_refused_before_the_application_opens_anything(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--preload") as running:
        assert running.wait() == 1
    assert "Error: the application must be loaded in the workers" in running.output
    assert "Traceback" not in running.output
    with gunicorn(tmp_path, "--preload", app="def app(environ, start): ...") as running:
        assert "preload_app is on" in refused(running, os.EX_CONFIG)[0]


def test_missing_directory(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "x.duckdb"
    with gunicorn(tmp_path, GUARD_DATABASE_URL=f"duckdb:///{file}") as running:
        assert refused(running, os.EX_UNAVAILABLE) == [
            f"guard: database {file}: there is no directory {file.parent}\n"
        ]


def test_locked_database(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    file = tmp_path / "x.duckdb"
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open'); input()"
    with subprocess.Popen(
        [sys.executable, "-uc", code, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with gunicorn(tmp_path, GUARD_DATABASE_URL=f"duckdb:///{file}") as running:
            told = refused(running, os.EX_UNAVAILABLE)
        owner.communicate("\n")
    assert told == [
        (
            f"guard: database {file}: it is open in process {owner.pid}, "
            "and one process at a time can own the file\n"
        )
    ]


def test_an_application_that_fails_to_load(tmp_path: Path) -> None:
    with gunicorn(tmp_path, app="raise KeyError('spanner')") as running:
        assert running.wait() == 3
    assert "could not start: KeyError: 'spanner'" in running.output
    assert "Worker failed to boot" in running.output
    own = "from guard import BackendClosed\nraise BackendClosed('there is no spanner')"
    with gunicorn(tmp_path, app=own) as running:
        assert refused(running, 3) == ["guard: there is no spanner\n"]


def test_a_database_that_is_away_is_only_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://u:secret@127.0.0.1:{free_port()}/x"
    with gunicorn(tmp_path, GUARD_DATABASE_URL=url) as running:
        running.wait_ready()
        assert "warning: the database does not answer, starting without it" in running.output
        assert "postgresql://u:***@127.0.0.1" in running.output
        assert "secret" not in running.output


@pytest.mark.postgres
def test_too_few_connections(tmp_path: Path, postgres_url: str) -> None:
    with gunicorn(tmp_path, GUARD_DATABASE_URL=postgres_url, GUARD_WORKERS="60") as running:
        told = refused(running, os.EX_CONFIG)
    assert len(told) == 1
    assert "and PostgreSQL allows" in told[0]


def test_the_configuration_file_is_executable_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", str(CONFIG), "--print-config", "wsgiref:x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " = " in line)
    assert printed["preload_app"] == "= False"
    assert printed["control_socket_disable"] == "= True"
    assert printed["worker_class"] == "= guard.gunicorn.worker.GuardWorker"
