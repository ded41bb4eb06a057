"""Whether the engine answers, and whether what is written now would stay."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, Final

import duckdb

from guard.backends.duckdb.errors import judge, one_line, translate
from guard.backends.verdict import answered
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy, BackendFailed

if TYPE_CHECKING:
    from pathlib import Path

    from guard.backends.duckdb.sessions import Handle

_FILLER: Final = bytes(65536)
_READ: Final = ("SELECT 1",)
# Made and dropped by one transaction: the commit is a real one, and durable, but a crash at any
# point leaves nothing.
_WRITE: Final = (
    "BEGIN TRANSACTION",
    "CREATE TABLE guard_probe_of_the_write_lane (filler integer)",
    "DROP TABLE guard_probe_of_the_write_lane",
    "COMMIT",
)


class Probe:
    """Thread-safe; one probe at a time.

    Args:
        handle: a cursor that is the probe's alone.
        folder: where the database lies.
    """

    def __init__(self, handle: Handle, folder: Path) -> None:
        self._handle = handle
        self._folder = folder
        self._lock = Lock()

    def run(self, lane: Lane, timeout_s: float) -> None:
        """Ask the engine; on the write lane write as well, since a full disk still answers.

        The engine's own commit is too small to meet a disk that has a few free blocks left,
        so 64 KiB are written beside the database too, into a file without a name.

        Raises:
            BackendBusy: another probe has not ended within ``timeout_s``.
            BackendError: no answer in time, or what was written would not stay.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise BackendBusy("another probe has not ended yet")
        try:
            if lane is Lane.WRITE:
                self._write_beside()
            self._execute(_WRITE if lane is Lane.WRITE else _READ, timeout_s)
        finally:
            self._lock.release()

    def _write_beside(self) -> None:
        try:
            with TemporaryFile(dir=self._folder, buffering=0) as file:
                written = file.write(_FILLER)
                os.fsync(file.fileno())
        except OSError as error:
            raise BackendFailed(f"the probe could not write: {one_line(error)}") from error
        if written != len(_FILLER):
            raise BackendFailed("the probe could not write all: no space left")

    def _execute(self, statements: tuple[str, ...], timeout_s: float) -> None:
        try:
            self._handle.set_timeout(timeout_s)
            for statement in statements:
                self._handle.cursor.execute(statement).fetchall()
        except duckdb.Error as error:
            if statements is _WRITE:
                self._handle.rollback()
            if not answered(judge(error)):
                raise translate(error, Lane.READ) from error
