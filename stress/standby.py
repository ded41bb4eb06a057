"""A real standby of a demo server, streaming from it on loopback."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import psycopg

from service.demo_postgres import DemoServer
from service.postgres_binaries import (
    NoPostgres,
    find_binaries,
    make_temp_dir,
    server_account,
    usable_binaries,
)
from service.postgres_process import command, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
_COPY_S: Final = 120.0
_STREAMING_S: Final = 30.0
_TICK_S: Final = 0.02
_STREAMING: Final = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"


@contextmanager
def standby(
    primary: DemoServer, settings: Mapping[str, str] = _NO_SETTINGS
) -> Iterator[DemoServer]:
    """Run a standby of ``primary`` for the length of the block; it streams when the block begins.

    Its user and password are the primary's. ``promote`` makes it a primary.

    Args:
        primary: a running server.
        settings: PostgreSQL settings, such as ``{"recovery_min_apply_delay": "5s"}``.

    Raises:
        NoPostgres: it can't be copied or started.
    """
    account = server_account()
    scratch = make_temp_dir(account)
    try:
        binaries = usable_binaries(find_binaries({}), account, scratch)
        data = scratch / "data"
        _copy(primary, data, binaries / "pg_basebackup")
        server = DemoServer(binaries, account, data, settings)
        try:
            server.start()
            _await_streaming(server)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def promote(server: DemoServer) -> None:
    """Make a standby a primary; returns when it takes writes.

    Raises:
        NoPostgres: it did not become one within a minute.
    """
    with psycopg.connect(server.url, autocommit=True) as admin:
        row = admin.execute("SELECT pg_promote(true, 60)").fetchone()
    if row != (True,):
        raise NoPostgres("the standby was not promoted")


def _copy(primary: DemoServer, data: Path, program: Path) -> None:
    options = (
        "--dbname", primary.url, "--pgdata", str(data), "--write-recovery-conf",
        "--wal-method=stream", "--checkpoint=fast", "--no-sync",
    )  # fmt: skip
    done = subprocess.run(
        command(program, server_account(), *options),
        capture_output=True, text=True, check=False, cwd="/", env=environment(), timeout=_COPY_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise NoPostgres(f"pg_basebackup failed: {done.stderr.strip()}")


def _await_streaming(server: DemoServer) -> None:
    tick, until = Event(), monotonic() + _STREAMING_S
    with psycopg.connect(server.url, autocommit=True) as admin:
        while monotonic() < until:
            if admin.execute(_STREAMING).fetchone() == (1,):
                return
            tick.wait(_TICK_S)
    raise NoPostgres(f"the standby does not stream:\n{server.log()}")
