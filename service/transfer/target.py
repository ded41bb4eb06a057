"""The PostgreSQL side: takes pieces, checks each before the commit, remembers how far it is.

While a copy is unfinished the table ``unfinished_copy`` is there, and no service opens the
database.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.backends.postgres.bulk import BulkConnection
from guard.errors import BackendFailed
from guard.settings.masking import mask_url
from service.migrations import UNFINISHED_TABLE, has_table, load_migrations, migrate
from service.transfer.rows import KEYS, WARRIORS, Digest, Table, postgres_digest
from service.transfer.source import TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.transfer.source import Piece

_LOCK_KEY: Final = 0x6D696772617465  # "migrate": the advisory lock of who copies
_INDEX: Final = "warriors_search_text"


class Begun(NamedTuple):
    """A copy that is under way.

    Attributes:
        merge: whether the target had rows of its own before.
        next_row: the first warrior's row that is not copied yet.
    """

    merge: bool
    next_row: int


class Target:
    """Where the rows go. Not thread-safe. Every method raises ``GuardError`` where it fails.

    Args:
        connection: to an empty database, one with an unfinished copy, or one to merge into.
        name: which database it is, without a password.
    """

    def __init__(self, connection: BulkConnection, name: str) -> None:
        self._connection = connection
        self.name = name

    def begin(self, source: str, *, merge: bool) -> Begun:
        """Bring the schema up to date and begin a copy, or go on with the one begun before.

        Args:
            source: the ``Source``'s name.
            merge: take a target that has rows. A copy that was begun goes on as it was begun.

        Raises:
            TransferError: the target has rows, or a copy from elsewhere; or another process copies.
        """
        if not self._connection.execute(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")[0][0]:
            raise TransferError("another process copies into this database at this moment")
        with self._connection.transaction():
            begun = self._begun(source) or self._begin(source, merge=merge)
        for join in ("hashjoin", "mergejoin"):
            # Both would read the whole table to look at one piece.
            self._connection.execute(f"SET enable_{join} = off")
        for table in (WARRIORS, KEYS):
            self._connection.execute(
                f"CREATE TEMPORARY TABLE {_staged(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS"
            )
        return begun

    def _begun(self, source: str) -> Begun | None:
        if not has_table(self._connection, UNFINISHED_TABLE):
            return None
        before, merge, next_row = self._connection.execute(
            f"SELECT source, merge, next_row FROM {UNFINISHED_TABLE}"
        )[0]
        if before != source:
            raise TransferError(
                f"it has an unfinished copy of {before}: finish that first, or drop its tables"
            )
        return Begun(merge, next_row)

    def _begin(self, source: str, *, merge: bool) -> Begun:
        migrate(self._connection)
        if not merge and any(map(self._has_rows, (WARRIORS, KEYS))):
            raise TransferError("it has rows already; --merge adds to them")
        self._connection.execute(
            f"CREATE TABLE {UNFINISHED_TABLE} "
            "(source text NOT NULL, merge boolean NOT NULL, next_row bigint NOT NULL)"
        )
        self._connection.execute(
            f"INSERT INTO {UNFINISHED_TABLE} VALUES (%s, %s, 0)", (source, merge)
        )
        if not merge:
            # Built once over all rows it takes a third of the time.
            self._connection.execute(f"DROP INDEX {_INDEX}")
        return Begun(merge, 0)

    def _has_rows(self, table: Table) -> bool:
        return bool(self._connection.execute(f"SELECT EXISTS (SELECT FROM {table.name})")[0][0])

    def load_warriors(self, piece: Piece, next_row: int) -> None:
        """Take a piece and remember that ``next_row`` comes next: both or neither."""
        with self._connection.transaction():
            self._load(WARRIORS, piece, "NOTHING")
            self._connection.execute(f"UPDATE {UNFINISHED_TABLE} SET next_row = %s", (next_row,))

    def load_keys(self, piece: Piece) -> None:
        """Take a piece; of a key that was renewed since, the newer row stays."""
        renewed = (
            "UPDATE SET fingerprint = excluded.fingerprint, warrior_id = excluded.warrior_id, "
            "created_s = excluded.created_s WHERE idempotency_keys.created_s < excluded.created_s"
        )
        with self._connection.transaction():
            self._load(KEYS, piece, renewed)

    def _load(self, table: Table, piece: Piece, on_conflict: str) -> None:
        if not piece.digest.rows:
            return
        staged = _staged(table)
        self._connection.copy(f"COPY {staged} ({table.columns}) FROM STDIN", piece.text)
        # A row that is there already, such as after a lost answer to COMMIT, is not doubled.
        self._connection.execute(
            f"INSERT INTO {table.name} ({table.columns}) SELECT {table.columns} FROM {staged} "
            f"ON CONFLICT ({table.key}) DO {on_conflict}"
        )
        found = self._digest(table, f"{table.key} IN (SELECT {table.key} FROM {staged})")
        if found != piece.digest:
            raise TransferError(
                f"{table.name}: {piece.digest} were sent and {found} are there, so this piece was "
                "not kept; does the target have other rows under the same keys?"
            )

    def forget_progress(self) -> None:
        """Have the next run copy every row again."""
        self._connection.execute(f"UPDATE {UNFINISHED_TABLE} SET next_row = 0")

    def build_index(self) -> None:
        """Build the search index, where it is not there."""
        if not self._connection.execute("SELECT to_regclass(%s)", (_INDEX,))[0][0]:
            self._connection.execute(_index_statement())
        self._connection.execute(f"ANALYZE {WARRIORS.name}, {KEYS.name}")

    def whole(self, since_s: int, before_s: int) -> tuple[Digest, Digest]:
        """Return the digests of all warriors, and of the keys made in between."""
        between = f"created_s >= {since_s} AND created_s < {before_s}"
        return self._digest(WARRIORS, "true"), self._digest(KEYS, between)

    def counts(self, since_s: int) -> tuple[int, int]:
        """Return how many warriors there are, and keys made since."""
        count = "SELECT count(*) FROM"
        (warriors,) = self._connection.execute(f"{count} warriors")[0]
        (keys,) = self._connection.execute(
            f"{count} idempotency_keys WHERE created_s >= %s", (since_s,)
        )[0]
        return warriors, keys

    def _digest(self, table: Table, where: str) -> Digest:
        sql = (
            f"SELECT count(*), coalesce(sum({postgres_digest(table)}), 0) "
            f"FROM {table.name} WHERE {where}"
        )
        return Digest(*map(int, self._connection.execute(sql)[0]))

    def finish(self) -> None:
        """Let services open the database. Idempotent."""
        self._connection.execute(f"DROP TABLE IF EXISTS {UNFINISHED_TABLE}")


def _staged(table: Table) -> str:
    return f"staged_{table.name}"


def _index_statement() -> str:
    steps = load_migrations(files("service.migrations") / "postgres")
    statements = (statement for step in steps for statement in step.statements)
    return next(text for text in statements if f"CREATE INDEX {_INDEX}" in text)


@contextmanager
def open_target(url: str) -> Iterator[Target]:
    """Connect over the block.

    Raises:
        BackendFailed: no connection.
    """
    with BulkConnection(url) as connection:
        yield Target(connection, mask_url(url))
        # The server notices only a moment after the end of a connection that it has ended. Where
        # that is lost by now, nothing is: the work is done.
        with suppress(BackendFailed):
            connection.execute("SELECT pg_advisory_unlock_all()")
