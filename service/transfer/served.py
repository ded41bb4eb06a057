"""In the service: lets a copying command on this machine read the file that the service owns."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, cast

from guard.errors import GuardError
from service.transfer.source import FileSource, Piece, TransferError
from service.transfer.wire import WireError, receive, send, socket_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedRWPair as Stream

    from guard.assembly import Assembly
    from guard.backends.duckdb import DuckDBBackend
    from guard.gate import Gate

_READY_TICK_S: Final = 0.5
_ACCEPT_TICK_S: Final = 0.5
_UNDER_WAY_S: Final = 10.0
SHUT_MAX_S: Final = 30.0
"""Where writes are shed and the command says nothing for so long, they are taken again."""

log = logging.getLogger("service.transfer")


class CopyServer:
    """Answers one copying command at a time, in a thread of its own.

    Args:
        backend: owns the file; nothing is answered until it is open.
        path: the database file.
        writes: is shut when the command asks for it.
    """

    def __init__(self, backend: DuckDBBackend, path: Path, writes: Gate) -> None:
        self._backend = backend
        self._path = path
        self._writes = writes
        self._moved = False
        self._stop = Event()
        self._connection: socket.socket | None = None
        self._thread = Thread(target=self._run, name="service-copy-server", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nobody any more; a command that is being answered loses its connection."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self, timeout_s: float) -> None:
        """Stop, and wait for the thread's end, at most ``timeout_s``."""
        self.stop()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._backend.wait_ready(0.0):
            if self._stop.wait(_READY_TICK_S):
                return
        name = socket_path(self._path)
        try:
            listener = _listen(name)
        except OSError as error:
            log.warning("%s can't be used, so this file can't be copied online: %s", name, error)
            return
        with listener:
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        log.info("the data is being copied")
        self._connection = connection
        try:
            with connection, connection.makefile("rwb") as stream:
                self._answer_all(connection, stream)
        except (WireError, OSError) as error:
            log.info("the copying command has gone: %s", error)
        finally:
            self._connection = None
            if not self._moved:
                self._writes.open()

    def _answer_all(self, connection: socket.socket, stream: Stream) -> None:
        connection.settimeout(None)
        try:
            source = FileSource(self._backend, str(self._path))
        except GuardError as error:
            receive(stream)
            send(stream, {"error": str(error)})
            return
        answers: dict[str, Callable[..., Any]] = {
            "extent": source.extent,
            "warriors": source.warriors,
            "keys": source.keys,
            "whole": source.whole,
            "counts": source.counts,
            "shut": lambda: self._shut(connection),
            "mark_moved": lambda to: self._mark_moved(source, to),
        }
        while not self._stop.is_set():
            question = receive(stream)
            try:
                name, *arguments = question
                value = answers[name](*arguments)
            except GuardError as error:
                send(stream, {"error": str(error)})
            except Exception as error:  # the driver's, about the data; or no question at all
                log.exception("a copying command was not answered")
                told = " ".join(str(error).split())
                send(stream, {"error": f"{type(error).__name__}: {told}"})
            else:
                _send_value(stream, value)

    def _shut(self, connection: socket.socket) -> None:
        # The command must not stop in the middle and leave the service without writes.
        connection.settimeout(SHUT_MAX_S)
        log.warning("writes are shed: the last rows are copied")
        if not self._writes.shut(_UNDER_WAY_S):
            raise TransferError("a write that is under way does not end")

    def _mark_moved(self, source: FileSource, to: str) -> None:
        if not self._writes.is_shut:
            raise TransferError("writes are taken; nothing can be moved")
        source.mark_moved(to)
        self._moved = True
        log.warning("the data was moved to %s; writes are shed until this service ends", to)


def copy_server(assembly: Assembly) -> CopyServer | None:
    """Return what serves copies of the assembly's database; None where that is no DuckDB file."""
    backend = assembly.backend
    if assembly.database.dialect != "duckdb":
        return None
    path = Path(assembly.settings.database_url.removeprefix("duckdb:///")).resolve()
    return CopyServer(cast("DuckDBBackend", backend), path, assembly.database.writes)


def _send_value(stream: Stream, value: object) -> None:
    if isinstance(value, Piece):
        rest = [*value.digest, value.last_key]
        send(stream, {"value": rest, "bytes": len(value.text)}, value.text)
    else:
        send(stream, {"value": value, "bytes": 0})


def _listen(name: str) -> socket.socket:
    # We own the database file, so whoever made this one before has ended.
    Path(name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        # Linux gives the file the socket's own rights: it is never open to others.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(name)
        listener.listen(1)
        listener.settimeout(_ACCEPT_TICK_S)
    except BaseException:
        listener.close()
        raise
    return listener
