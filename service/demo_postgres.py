"""A real PostgreSQL server for demonstrations and tests, on loopback, gone with its starter.

Not for production: it belongs to whoever can read its data directory.

``python -m service.demo_postgres`` prints the server's URL and runs until Ctrl-C;
``python -m service.demo_postgres -- command`` runs the command with ``GUARD_DATABASE_URL`` set.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from service.postgres_binaries import (
    Account,
    NoPostgres,
    find_binaries,
    make_temp_dir,
    reachable,
    server_account,
    usable_binaries,
)
from service.postgres_process import (
    await_end,
    children,
    command,
    environment,
    free_port,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
_START_S = 30.0
_STOP_S = 10.0
_POLL_S = 0.02
_PORT_TRIES = 5
_WHOLE_TREE = frozenset({signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL})


class DemoServer:
    """A running PostgreSQL server. Not thread-safe.

    Attributes:
        url: where it listens, with user and password.
        port: its TCP port on 127.0.0.1; stays the same over ``start`` after ``stop``.
        data_dir: its data directory.
    """

    def __init__(
        self, binaries: Path, account: Account, data_dir: Path, settings: Mapping[str, str]
    ) -> None:
        self._binaries = binaries
        self._account = account
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.data_dir = data_dir
        self.port = 0

    @property
    def url(self) -> str:
        """The server's URL, with user and password."""
        password = (self.data_dir / "demo-password").read_text().strip()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The main process' id; 0 while it is stopped."""
        return self._process.pid if self._process is not None else 0

    def start(self, port: int = 0) -> None:
        """Start the server and wait until it takes connections (at most 30 s).

        The calling thread must outlive the server: the kernel ends the server with it.

        Args:
            port: TCP port; 0 takes the last one again, or a free one.

        Raises:
            NoPostgres: it can't be started; the message holds the end of its log.
        """
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        wanted = port or self.port
        for left in reversed(range(1 if wanted else _PORT_TRIES)):
            self.port = wanted or free_port()
            try:
                self._start_once()
            except NoPostgres:
                # Somebody may have taken the port since it was found free.
                if not left:
                    raise
            else:
                return

    def stop(self) -> None:
        """End all sessions and stop the server (a fast shutdown); no error if it has gone."""
        process = self._process
        if process is None:
            return
        self.kill(signal.SIGCONT)
        for how, wait_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, _STOP_S)):
            process.send_signal(how)
            try:
                process.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self.kill(signal.SIGKILL)
            process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def kill(self, sig: int) -> None:
        """Send a signal to the server.

        SIGSTOP, SIGCONT and SIGKILL go to every process of the server (it freezes, thaws or is
        gone as in a power cut); any other goes to the main process alone.
        """
        process = self._process
        if process is None or process.poll() is not None:
            return
        if sig not in _WHOLE_TREE:
            process.send_signal(sig)
            return
        # Stopped, the main process forks no more; once it is killed, its children are orphans.
        process.send_signal(signal.SIGSTOP)
        mine = children(process.pid)
        for pid in (process.pid, *mine):
            with suppress(ProcessLookupError):
                os.kill(pid, sig)
        if sig == signal.SIGKILL:
            process.wait()
            # Until the last one is gone the shared memory is in use, and nothing can start on it.
            await_end(mine, _STOP_S)
            self._process = None

    def log(self) -> str:
        """Return the end of the server's log."""
        path = self.data_dir / "demo-server.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def _initdb(self) -> None:
        above = next(place for place in self.data_dir.parents if place.is_dir())
        if not reachable(above, self._account):
            raise NoPostgres(
                f"{self.data_dir}: user id {self._account.uid}, as which PostgreSQL runs here, "
                "can't reach it; take another directory"
            )
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        os.chown(self.data_dir, self._account.uid, self._account.gid)
        password = self.data_dir.with_name(f"{self.data_dir.name}-{secrets.token_hex(4)}.pw")
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(16))
        os.chown(password, self._account.uid, self._account.gid)
        options = [
            "--username=postgres", "--auth=password", f"--pwfile={password}", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-sync", "-D", str(self.data_dir),
        ]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 -- our own programs and arguments
                command(self._binaries / "initdb", self._account, *options),
                capture_output=True, check=False, cwd="/", env=environment(), text=True,
            )  # fmt: skip
            if done.returncode != 0:
                raise NoPostgres(f"initdb failed: {done.stderr.strip()}")
            shutil.move(password, self.data_dir / "demo-password")
        finally:
            password.unlink(missing_ok=True)

    def _start_once(self) -> None:
        self.port_file.unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "logging_collector": "off",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.data_dir / "demo-server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own programs and arguments
                command(
 self._binaries / "postgres", self._account, "-D", str(self.data_dir), *options),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is for the starter alone
            )  # fmt: skip
        self._await_ready(self._process)

    @property
    def port_file(self) -> Path:
        """PostgreSQL's own file with its process id, port and state."""
        return self.data_dir / "postmaster.pid"

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(int(_START_S / _POLL_S)):
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                if self._state() == "ready":
                    return
            else:
                self._process = None
                raise NoPostgres(f"PostgreSQL ended at its start:\n{self.log()}")
        self.kill(signal.SIGKILL)
        raise NoPostgres(f"PostgreSQL was not ready after {_START_S:.0f} s:\n{self.log()}")

    def _state(self) -> str:
        try:
            lines = self.port_file.read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""  # noqa: PLR2004 -- the file's format


@contextmanager
def demo_server(
    data_dir: Path | None = None, *, port: int = 0, settings: Mapping[str, str] = _NO_SETTINGS
) -> Iterator[DemoServer]:
    """Run a PostgreSQL server for the length of the ``with`` block.

    It ends with the block, with the thread that entered it and with the process, however that
    dies. As root it runs as ``nobody``.

    Args:
        data_dir: where the data lives and stays; None takes a temporary one and removes it.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        settings: PostgreSQL settings, such as ``{"max_connections": "20"}``.

    Raises:
        NoPostgres: there is no PostgreSQL here that could be started.
    """
    account = server_account()
    found = find_binaries(os.environ)
    scratch = make_temp_dir(account)
    try:
        binaries = usable_binaries(found, account, scratch)
        server = DemoServer(binaries, account, (data_dir or scratch / "data").absolute(), settings)
        try:
            server.start(port)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m service.demo_postgres", description=__doc__)
    parser.add_argument("--data", type=Path, help="directory that keeps the data (default: none)")
    parser.add_argument("--port", type=int, default=0, help="TCP port (default: a free one)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a PostgreSQL setting; may be repeated")  # fmt: skip
    parser.add_argument("command", nargs="*", help="what to run with GUARD_DATABASE_URL set")
    options = parser.parse_args(arguments)
    settings = dict(pair.partition("=")[::2] for pair in options.set)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with demo_server(options.data, port=options.port, settings=settings) as server:
            if options.command:
                return _run(options.command, server.url)
            print(server.url, flush=True)  # noqa: T201 -- the one line that the command is for
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except NoPostgres as error:
        print(f"demo_postgres: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _run(command: Sequence[str], url: str) -> int:
    """Run the command and hand each stop signal on to it; return its exit status."""
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        if started:
            started[0].send_signal(number)
        else:
            early.append(number)

    # Handlers and not a KeyboardInterrupt, which could come between the start and the wait.
    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        environment = {**os.environ, "GUARD_DATABASE_URL": url}
        # A process group of its own: a Ctrl-C reaches it once, and before the server stops.
        started.append(subprocess.Popen(list(command), env=environment, process_group=0))  # noqa: S603
        for number in early:
            started[0].send_signal(number)
        status = started[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
