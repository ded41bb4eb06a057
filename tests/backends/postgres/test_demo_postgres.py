from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from service import demo_postgres, postgres_binaries
from service.demo_postgres import demo_server, main
from service.postgres_binaries import (
    Account,
    NoPostgres,
    find_binaries,
    make_temp_dir,
    reachable,
    server_account,
    usable_binaries,
)
from service.postgres_process import await_end, children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.demo_postgres import DemoServer

FAST = {"fsync": "off"}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that the server's account reaches, unlike pytest's own for root."""
    account = server_account()
    made = make_temp_dir(account)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _ask(url: str, sql: str = "SELECT 1") -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(sql).fetchone()


def _gone(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_until_gone(port: int) -> None:
    end, pause = time.monotonic() + 10, threading.Event()
    while not _gone(port):
        assert time.monotonic() < end
        pause.wait(0.01)


@pytest.mark.postgres
def test_a_server_lives_as_long_as_its_block(postgres_server: DemoServer) -> None:
    assert postgres_server.pid
    with demo_server(settings={**FAST, "max_connections": "13"}) as server:
        assert _ask(server.url, "SHOW max_connections") == ("13",)
        assert server.data_dir.is_dir()
        with pytest.raises(psycopg.OperationalError):
            _ask(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
    assert server.pid == 0
    assert _gone(server.port)
    assert not server.data_dir.exists()


@pytest.mark.postgres
def test_a_data_directory_keeps_the_data_and_the_url(
    postgres_server: DemoServer, data_dir: Path
) -> None:
    assert postgres_server.pid
    with demo_server(data_dir / "db", settings=FAST) as server:
        url, port = server.url, server.port
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 5 AS five")
        with pytest.raises(NoPostgres, match="ended at its start"):
            demo_postgres.DemoServer(
                server._binaries, server._account, server.data_dir, FAST
            ).start()
    with demo_server(data_dir / "db", port=port, settings=FAST) as server:
        assert server.url == url
        assert _ask(url, "SELECT five FROM kept") == (5,)
        server.restart()
        assert _ask(url, "SELECT five FROM kept") == (5,)
        below = children(server.pid)
        server.kill(signal.SIGKILL)
        assert server.pid == 0
        assert below
        assert await_end(below, 0.0)
        server.kill(signal.SIGKILL)
        server.start()
        assert _ask(url, "SELECT five FROM kept") == (5,)


def test_a_process_that_nobody_has_waited_for_has_ended_too() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not await_end([process.pid], 0.0)
        process.kill()
        assert await_end([process.pid], 30.0)
        assert process.pid in children(os.getpid())
    assert await_end([process.pid], 0.0)


@pytest.mark.postgres
def test_a_frozen_server_can_be_stopped(postgres_server: DemoServer) -> None:
    assert postgres_server.pid
    with demo_server(settings=FAST) as server:
        server.kill(signal.SIGSTOP)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url, connect_timeout=2)
    assert _gone(server.port)


@pytest.mark.postgres
def test_a_server_that_cannot_start_says_why(postgres_server: DemoServer) -> None:
    with (
        pytest.raises(NoPostgres, match="no_such_setting"),
        demo_server(settings={"no_such_setting": "1"}),
    ):
        pass
    with (
        pytest.raises(NoPostgres, match="ended at its start"),
        demo_server(port=postgres_server.port, settings=FAST),
    ):
        pass


@pytest.mark.postgres
def test_no_server_outlives_its_killed_starter(postgres_server: DemoServer, data_dir: Path) -> None:
    assert postgres_server.pid
    command = [sys.executable, "-m", "service.demo_postgres", "--set", "fsync=off"]
    # Killed, it can't remove its temporary directory; the fixture does.
    environ = {**os.environ, "TMPDIR": str(data_dir)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert _ask(url) == (1,)
        starter.kill()
    port = int(url.rpartition(":")[2].partition("/")[0])
    _wait_until_gone(port)


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_ends_cleanly(postgres_server: DemoServer, how: int) -> None:
    assert postgres_server.pid
    command = [sys.executable, "-m", "service.demo_postgres", "--set", "fsync=off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        starter.send_signal(how)
        assert starter.wait(10) == 0
    assert _gone(int(url.rpartition(":")[2].partition("/")[0]))


@pytest.mark.postgres
def test_a_command_runs_with_the_url_and_gives_its_status(
    postgres_server: DemoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert postgres_server.pid
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert (
            main(["--set", "fsync=off", "--", "sh", "-c", "echo $GUARD_DATABASE_URL; exit 3"]) == 3
        )
        assert main(["--set", "fsync=off", "--", "sh", "-c", "kill -9 $$"]) == 137
        assert main(["--set", "nonsense=1"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    printed = capfd.readouterr()
    assert printed.out.startswith("postgresql://postgres:")
    assert "demo_postgres: PostgreSQL ended at its start" in printed.err


def test_the_named_programs_come_first(tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).touch(mode=0o755)
    assert find_binaries({"GUARD_TEST_POSTGRES_BIN": str(tmp_path)}) == tmp_path
    with pytest.raises(NoPostgres, match="GUARD_TEST_POSTGRES_BIN"):
        find_binaries({"GUARD_TEST_POSTGRES_BIN": str(tmp_path / "none")})


def test_the_newest_of_the_system_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_binaries, "find_spec", lambda _: None)
    monkeypatch.setattr(postgres_binaries, "_SYSTEM_ROOT", tmp_path)
    with pytest.raises(NoPostgres, match="no PostgreSQL found"):
        find_binaries({})
    for version in ("9", "17", "common"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).touch(mode=0o755)
    assert find_binaries({}) == tmp_path / "17" / "bin"


def test_only_root_needs_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 55)
    assert server_account() == Account(1234, 55)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def missing(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(postgres_binaries.pwd, "getpwnam", missing)
    with pytest.raises(NoPostgres, match="nobody"):
        server_account()


def test_reach_is_judged_by_owner_group_and_others(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    owner = folder.stat()
    stranger = Account(owner.st_uid + 1000, owner.st_gid + 1000)
    tmp_path.chmod(0o700)
    assert reachable(folder, Account(owner.st_uid, owner.st_gid))
    assert not reachable(folder, stranger)
    assert not reachable(folder / "missing", Account(owner.st_uid, owner.st_gid))
    (tmp_path / "a").chmod(0o750)
    assert postgres_binaries._may(tmp_path / "a", Account(stranger.uid, owner.st_gid), os.X_OK)
    assert not postgres_binaries._may(tmp_path / "a", stranger, os.X_OK)


def test_no_place_for_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_binaries, "_may", lambda *_: False)
    with pytest.raises(NoPostgres, match="temporary"):
        make_temp_dir(server_account())


def test_programs_that_cannot_be_reached_are_copied_with_their_libraries(
    tmp_path: Path, data_dir: Path
) -> None:
    programs = tmp_path / "package" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").write_text("program")
    (programs / "postgres").chmod(0o700)
    (tmp_path / "package" / "pginstall" / "include").mkdir()
    (tmp_path / "package.libs").mkdir()
    (tmp_path / "package.libs" / "library.so").touch(mode=0o600)
    stranger = Account(os.geteuid() + 1000, os.getegid() + 1000)
    copy = usable_binaries(programs, stranger, data_dir)
    assert copy == data_dir / "package" / "pginstall" / "bin"
    assert reachable(copy / "postgres", stranger)
    assert (data_dir / "package.libs" / "library.so").stat().st_mode & 0o004
    assert not (copy.parent / "include").exists()
    assert usable_binaries(copy, stranger, data_dir) == copy


@pytest.mark.postgres
def test_a_data_directory_out_of_the_accounts_reach_is_named(
    postgres_server: DemoServer, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        tmp_path.chmod(0o700)
        with pytest.raises(NoPostgres, match=r"can't reach it"), demo_server(tmp_path / "db"):
            pass
        assert not (tmp_path / "db").exists()
    assert postgres_server.pid


@pytest.mark.postgres
def test_a_stop_gets_harder_while_the_server_does_not_end(
    postgres_server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres_server.pid
    with demo_server(settings=FAST) as server:
        monkeypatch.setattr(demo_postgres, "_STOP_S", 0.0001)
        server.stop()
        assert server.pid == 0
        assert _gone(server.port)
        server.stop()


def _fake_programs(folder: Path, script: str) -> None:
    folder.chmod(0o755)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_a_data_directory_that_cannot_be_made_says_why(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_programs(data_dir, "echo no luck >&2; exit 1")
    monkeypatch.setenv("GUARD_TEST_POSTGRES_BIN", str(data_dir))
    with pytest.raises(NoPostgres, match="initdb failed: no luck"), demo_server():
        pass


def test_a_server_that_never_gets_ready_is_ended(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_programs(data_dir, "exec sleep 60")
    monkeypatch.setenv("GUARD_TEST_POSTGRES_BIN", str(data_dir))
    monkeypatch.setattr(demo_postgres, "_START_S", 0.5)
    made = data_dir / "db"
    made.mkdir()
    (made / "PG_VERSION").touch()
    with pytest.raises(NoPostgres, match="not ready"), demo_server(made):
        pass


@pytest.mark.postgres
def test_an_interrupt_reaches_the_command_and_ends_the_wait(
    postgres_server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres_server.pid
    before = signal.getsignal(signal.SIGTERM)
    told = "trap 'exit 7' INT; kill -INT $PPID; while :; do sleep 0.05; done"
    try:
        assert main(["--set", "fsync=off", "--", "sh", "-c", told]) == 7
        monkeypatch.setattr(signal, "pause", lambda: signal.raise_signal(signal.SIGINT))
        assert main(["--set", "fsync=off"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
