"""One connection for moving many rows: no pool, no lane, no time-out."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from guard.backends.postgres.errors import one_line
from guard.errors import BackendFailed
from guard.settings.masking import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.backends.base import Row

# What the URL says wins. A peer that the network has swallowed is given up after half a minute.
_DEFAULTS: Final[dict[str, str | int]] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 10,
    "keepalives_count": 2,
    "tcp_user_timeout": 30_000,
    "target_session_attrs": "read-write",
    "fallback_application_name": "guard-bulk",
}
# Digests and copied texts must not depend on what the role or the server prefers.
_SESSION: Final = (
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET datestyle = 'ISO, YMD'",
    "SET bytea_output = 'hex'",
    "SET standard_conforming_strings = on",
)


class BulkConnection:
    """Implements ``Session``, with ``COPY``. Not thread-safe. Each statement commits by itself.

    Args:
        url: ``postgresql://...``; what it leaves out libpq takes from its own environment
            variables and password file.

    Raises:
        BackendFailed: no connection. Every method raises it where the server refuses a
            statement or has gone; always one line without any password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        with self._translated():
            values = dict(_DEFAULTS)
            given = conninfo_to_dict(url)
            values.update({name: text for name, text in given.items() if text is not None})
            self._connection = psycopg.connect(make_conninfo("", **values), autocommit=True)
            for statement in _SESSION:
                self._connection.execute(statement)

    def execute(
        self,
        sql: str,
        params: Sequence[object] = (),
        *,
        prepare: bool = True,  # noqa: ARG002 -- the driver sees for itself what it runs often
    ) -> list[Row]:
        """Run one statement and return all its rows; see ``Session.execute``."""
        with self._translated():
            cursor = self._connection.execute(sql, params or None)
            return cursor.fetchall() if cursor.description is not None else []

    def copy(self, sql: str, text: bytes) -> None:
        """Run a ``COPY ... FROM STDIN`` with these lines in its text format."""
        with self._translated(), self._connection.cursor().copy(sql) as copy:
            copy.write(text)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it where it raises."""
        with self._translated(), self._connection.transaction():
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Idempotent."""
        self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            # Not "from error": its text may show the password.
            raise BackendFailed(scrub(one_line(error), self._url)) from None
