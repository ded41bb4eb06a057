"""The DuckDB side: rows in pieces, each with its digest, out of the engine that owns the file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from guard.backends.base import Bounds
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.clock import MonotonicClock
from guard.errors import GuardError
from guard.events import Unheard
from service.idempotency import KEY_LIFETIME_S
from service.migrations import MOVED_TABLE, check_known
from service.transfer.rows import KEYS, WARRIORS, Digest, duckdb_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.backends.base import Session

_MEMORY_MIB: Final = 256
_PATIENT: Final = Bounds(wait_s=10.0, run_s=30.0)
_READY_S: Final = 60.0
_TICK_S: Final = 0.02


class TransferError(GuardError):
    """The data can't be moved, or not now; the message is one line for people."""


class Extent(NamedTuple):
    """How much there is at this moment.

    Attributes:
        end_row: the number after the last warrior's row; warriors are only ever added, at the end.
        now_s: the database's clock, seconds since 1970.
    """

    end_row: int
    now_s: int

    @property
    def live_since_s(self) -> int:
        """From when on a key has not expired."""
        return self.now_s - KEY_LIFETIME_S


class Piece(NamedTuple):
    """Some rows.

    Attributes:
        text: their lines in COPY's text format.
        digest: theirs.
        last_key: the last key in it, where keys are copied; empty otherwise.
    """

    text: bytes
    digest: Digest
    last_key: str = ""


class Source(Protocol):
    """Where the rows come from. Every method raises ``GuardError`` where it can't answer.

    Attributes:
        name: which database it is, for people and for the target's record.
    """

    name: str

    def extent(self) -> Extent:
        """Return how much there is now."""
        ...

    def warriors(self, first_row: int, end_row: int) -> Piece:
        """Return the warriors in these rows, the last one excluded."""
        ...

    def keys(self, since_s: int, after_key: str, most: int) -> Piece:
        """Return the first ``most`` keys after this one, of those made or renewed since."""
        ...

    def whole(self, end_row: int, since_s: int, before_s: int) -> tuple[Digest, Digest]:
        """Return the digests of the warriors before this row, and of the keys made in between."""
        ...

    def counts(self, since_s: int) -> tuple[int, int]:
        """Return how many warriors there are now, and keys made since."""
        ...


class FileSource:
    """A ``Source`` in this process. Thread-safe.

    Args:
        backend: owns the file, and is open.
        name: see ``Source``.

    Raises:
        GuardError: the file has another schema than this version of the service.
    """

    def __init__(self, backend: DuckDBBackend, name: str) -> None:
        self._backend = backend
        self.name = name
        with backend.snapshot() as session:
            check_known(session, "duckdb")

    def extent(self) -> Extent:
        """See ``Source``."""
        with self._backend.snapshot() as session:
            return Extent(*session.execute(_EXTENT)[0])

    def warriors(self, first_row: int, end_row: int) -> Piece:
        """See ``Source``."""
        with self._backend.snapshot() as session:
            return _piece(session, _WARRIORS, (first_row, end_row))

    def keys(self, since_s: int, after_key: str, most: int) -> Piece:
        """See ``Source``."""
        with self._backend.snapshot() as session:
            return _piece(session, _KEYS, (since_s, after_key, most))

    def whole(self, end_row: int, since_s: int, before_s: int) -> tuple[Digest, Digest]:
        """See ``Source``."""
        with self._backend.snapshot() as session:
            warriors = session.execute(_WHOLE_WARRIORS, (end_row,))[0]
            keys = session.execute(_WHOLE_KEYS, (since_s, before_s))[0]
        return Digest(*map(int, warriors)), Digest(*map(int, keys))

    def counts(self, since_s: int) -> tuple[int, int]:
        """See ``Source``."""
        with self._backend.snapshot() as session:
            (warriors,) = session.execute("SELECT count(*) FROM warriors")[0]
            (keys,) = session.execute(_COUNT_KEYS, (since_s,))[0]
        return warriors, keys

    def mark_moved(self, to: str) -> None:
        """Keep every service from opening this file again; durable on return. Idempotent.

        Args:
            to: where the data is now, without a password.
        """

        def unit(session: Session) -> None:
            session.execute(f"CREATE TABLE IF NOT EXISTS {MOVED_TABLE} (url VARCHAR NOT NULL)")
            session.execute(f"DELETE FROM {MOVED_TABLE}")
            session.execute(f"INSERT INTO {MOVED_TABLE} VALUES (?)", (to,))

        self._backend.write(unit, _PATIENT)


_EXTENT: Final = "SELECT coalesce(max(rowid) + 1, 0), CAST(epoch(now()) AS BIGINT) FROM warriors"
_COUNT_KEYS: Final = "SELECT count(*) FROM idempotency_keys WHERE created_s >= ?"
# One query each, so that text and digest are of the same rows.
_PIECE: Final = "SELECT string_agg(text, chr(10)), count(*), coalesce(sum(digest), 0)"
_WARRIORS: Final = f"""
    {_PIECE}, '' FROM (
        SELECT {WARRIORS.text} AS text, {duckdb_digest(WARRIORS)} AS digest
        FROM warriors WHERE rowid >= ? AND rowid < ?)
"""
_KEYS: Final = f"""
    {_PIECE}, coalesce(max(key), '') FROM (
        SELECT {KEYS.text} AS text, {duckdb_digest(KEYS)} AS digest, key
        FROM idempotency_keys WHERE created_s >= ? AND key > ? ORDER BY key LIMIT ?)
"""
_DIGEST: Final = "SELECT count(*), coalesce(sum({}), 0) FROM {} WHERE {}"
_WHOLE_WARRIORS: Final = _DIGEST.format(duckdb_digest(WARRIORS), "warriors", "rowid < ?")
_WHOLE_KEYS: Final = _DIGEST.format(
    duckdb_digest(KEYS), "idempotency_keys", "created_s >= ? AND created_s < ?"
)


def _piece(session: Session, sql: str, params: tuple[object, ...]) -> Piece:
    text, rows, digest, last_key = session.execute(sql, params)[0]
    # COPY takes rows whose last line has an end.
    return Piece(f"{text}\n".encode() if rows else b"", Digest(rows, int(digest)), last_key)


def path_of(url: str) -> Path:
    """Return the file that a ``duckdb:///`` URL names.

    Raises:
        TransferError: there is none.
    """
    path = Path(url.removeprefix("duckdb:///"))
    if not path.is_file():
        raise TransferError(f"{path}: there is no such file")
    return path.resolve()


@contextmanager
def open_file(path: Path) -> Iterator[FileSource]:
    """Own the file over the block, and read from it.

    Raises:
        GuardError: it is no database, another process has it, or its schema is another one.
    """
    config = DuckDBConfig(path, readers=1, memory_mib=_MEMORY_MIB)
    backend = DuckDBBackend(config, Unheard(), MonotonicClock())
    backend.open()
    try:
        _wait(backend)
        yield FileSource(backend, str(path))
    finally:
        backend.close()


def _wait(backend: DuckDBBackend) -> None:
    tick = Event()
    for _ in range(int(_READY_S / _TICK_S)):
        if backend.wait_ready(0.0):
            return
        if backend.opening_error:
            break
        tick.wait(_TICK_S)
    raise TransferError(backend.opening_error or "the file does not open")
