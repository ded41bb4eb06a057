"""A real PgBouncer in transaction mode on loopback, in front of a server; gone with its starter."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from psycopg.conninfo import conninfo_to_dict

from service.postgres_binaries import make_temp_dir, server_account
from service.postgres_process import command, environment, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST: Final = "127.0.0.1"
_START_S, _STOP_S, _TICK_S = 30.0, 5.0, 0.02


class NoPgBouncer(OSError):  # noqa: N818 - reads better where it is caught
    """There is no PgBouncer here, or it did not start."""


class PgBouncer:
    """A PgBouncer whose databases are those of one server. Use as a context manager.

    As root it runs as ``nobody``: it refuses root. Not thread-safe.

    Args:
        url: the server, with user and password; whoever these are may look at the console too.
        settings: of the section ``[pgbouncer]``; they win over those here.
        connect_query: runs on each connection to the server that is made.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(
        self, url: str, settings: Mapping[str, object] | None = None, connect_query: str = ""
    ) -> None:
        self._server = conninfo_to_dict(url)
        self._settings = dict(settings or {})
        self._connect_query = connect_query
        self._account = server_account()
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start it and wait until it takes connections.

        Raises:
            NoPgBouncer: it is not installed, or ended at once.
        """
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if found is None:
            raise NoPgBouncer("pgbouncer is not installed")
        self._folder = make_temp_dir(self._account)
        self.port = free_port()
        self._configure()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command(Path(found), self._account, str(self._folder / "pgbouncer.ini")),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment(),
                start_new_session=True,
            )  # fmt: skip
        try:
            self._await(self._process)
        except NoPgBouncer:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return where a database of the server is reached through it."""
        user, password = self._server["user"], self._server["password"]
        return f"postgresql://{user}:{password}@{HOST}:{self.port}/{database}"

    @property
    def console(self) -> str:
        """Where its admin console is."""
        return self.url("pgbouncer")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def _configure(self) -> None:
        user, password = self._server["user"], self._server["password"]
        users, file = self._folder / "users.txt", self._folder / "pgbouncer.ini"
        users.write_text(f'"{user}" "{password}"\n')
        query = f" connect_query='{self._connect_query}'" if self._connect_query else ""
        settings = {
            "listen_addr": HOST, "listen_port": self.port, "unix_socket_dir": "",
            "auth_type": "plain", "auth_file": users, "admin_users": user,
            "pool_mode": "transaction", "max_client_conn": 2000, "server_login_retry": 1,
            **self._settings,
        }  # fmt: skip
        lines = [
            "[databases]", f"* = host={HOST} port={self._server['port']}{query}", "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]  # fmt: skip
        file.write_text("\n".join(lines) + "\n")
        for path in (users, file):
            path.chmod(0o600)
            os.chown(path, self._account.uid, self._account.gid)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        tick, until = Event(), monotonic() + _START_S
        while monotonic() < until and process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), 1.0).close()
            except OSError:
                tick.wait(_TICK_S)
            else:
                return
        raise NoPgBouncer(f"pgbouncer did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
