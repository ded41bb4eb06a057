"""A standby of the demo PostgreSQL server, on loopback, that can take over."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Iterator
    from pathlib import Path

    from service.postgres_binaries import Account

_PROGRAM_S: Final = 60.0


class Standby(DemoServer):
    """A copy of another server that follows it. Not thread-safe."""

    def promote(self) -> None:
        """Make it the primary, and wait until it is.

        Raises:
            NoPostgres: it can't be; the message has what it said.
        """
        _run(self._binaries, self._account, "pg_ctl", "promote", "-w", "-D", str(self.data_dir))


@contextmanager
def standby_of(primary: DemoServer) -> Iterator[Standby]:
    """Run a standby of a running server for the length of the ``with`` block.

    It gets all data on ``pg_basebackup``'s way, and every change from then on over a connection of
    its own. ``primary.url`` has a password that opens it too.

    Raises:
        NoPostgres: it can't be made or started.
    """
    account = server_account()
    scratch = make_temp_dir(account)
    try:
        binaries = usable_binaries(find_binaries(os.environ), account, scratch)
        data_dir = scratch / "data"
        _run(
            binaries, account, "pg_basebackup", "--pgdata", str(data_dir), "--dbname", primary.url,
            "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip
        standby = Standby(binaries, account, data_dir, {})
        try:
            standby.start()
            yield standby
        finally:
            standby.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(binaries: Path, account: Account, name: str, *options: str) -> None:
    done = subprocess.run(
        command(binaries / name, account, *options),
        capture_output=True, check=False, cwd="/", env=environment(), text=True,
        timeout=_PROGRAM_S,
    )  # fmt: skip
    if done.returncode:
        raise NoPostgres(f"{name} failed: {done.stderr.strip()}")
