"""A session on a connection whose settings are not the lane's own.

Behind a pooler in transaction mode the next transaction may run in another session of the server,
and what was set for a session goes to whoever gets it next. So nothing is set for longer than a
transaction, no statement is prepared, and a statement that stands alone gets a transaction of its
own, in two round trips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from guard.backends.postgres.config import IDLE_IN_TRANSACTION_S, milliseconds
from guard.backends.postgres.sessions import PostgresSession
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.backends.base import Row


class BorrowedSession(PostgresSession):
    """A ``PostgresSession`` that leaves the server's session as it was. Not thread-safe.

    Reads are read-only by their transaction, whatever the session's default is.
    """

    def begin(self, *, read_only: bool = False) -> None:
        """Start a transaction and give it its time-outs, in one round trip."""
        self._command(self._beginning(read_only=read_only))

    def _beginning(self, *, read_only: bool) -> str:
        self._timeout_s = self._wanted_s()
        return (
            f"BEGIN{' READ ONLY' if read_only else ''}; "
            f"SET LOCAL statement_timeout = {milliseconds(self._timeout_s)}; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'"
        )

    def _wall(self) -> bytes | None:
        return None  # what the server told was told to somebody else

    def _arm_timeout(self) -> None:
        if not self._is_alone:
            super()._arm_timeout()

    @property
    def _is_alone(self) -> bool:
        return self._held.pgconn.transaction_status == TransactionStatus.IDLE

    def _send(self, sql: str, params: Sequence[object], *, prepare: bool) -> psycopg.Cursor[Row]:
        del prepare
        if not self._is_alone:
            return super()._send(sql, params, prepare=False)
        try:
            # Not in the pipeline, in which the driver loses a pooler's refusal: the error that
            # comes with the connection's end.
            self._held.execute(self._beginning(read_only=self._lane is Lane.READ), prepare=False)
            with self._held.pipeline():
                cursor = self._held.execute(sql, params or None, prepare=False)
                self._held.execute("COMMIT", prepare=False)
        except psycopg.Error:
            self._roll_back()
            raise
        return cursor
