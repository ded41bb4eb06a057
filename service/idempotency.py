"""Creates at most one warrior per ``Idempotency-Key``, whatever happens to the answer.

The key's row is written in the warrior's transaction: either both are there or neither is. It
holds a fingerprint of the request and the warrior's id, which is all that the first answer was
made of, so the answer can be given again after a restart, word for word.

A key that was derived (the warrior's id as a hash of it) would need no table, but could never
expire, and a second meaning of the same key could not be told from the first.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from guard.backends.base import Session
    from service.warrior import NewWarrior

KEY_LIFETIME_S: Final = 24 * 3600
"""How long a key is remembered, by the database's clock."""
PURGE_EVERY: Final = 100
"""One in so many keyed creates, on average, forgets keys that have expired."""
PURGED_MAX: Final = 2 * PURGE_EVERY
"""Most keys that are forgotten at once: twice what came meanwhile, so a backlog shrinks."""


class KeyInUseError(Exception):
    """The first request with this key has not ended yet; nothing was executed for this one."""


class KeyReusedError(Exception):
    """The key was used for another warrior; nothing was executed for this one."""


class Holder(NamedTuple):
    """Who has a key.

    Attributes:
        fingerprint: of the request; see ``fingerprint``.
        warrior_id: of the warrior that the request creates, or has created.
    """

    fingerprint: bytes
    warrior_id: UUID


class KeysInUse:
    """The keys whose requests are under way in this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: set[str] = set()

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold ``key`` over the block.

        Raises:
            KeyInUseError: another request of this process holds it.
        """
        with self._lock:
            if key in self._keys:
                raise KeyInUseError
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.remove(key)


def claim(session: Session, dialect: str, key: str, wanted: Holder) -> Holder | None:
    """Give ``key`` to ``wanted`` unless another has it, and return who has it now.

    To be called in the transaction that stores the warrior; None where another process is at
    it at this moment. Nothing is raised for a key that is taken: on DuckDB other callers'
    units share the transaction, and would have to be run again.
    """
    claim_on = _claim_on_duckdb if dialect == "duckdb" else _claim_on_postgres
    holder = claim_on(session, key, wanted)
    # The id is random, so it serves as the die too.
    if holder == wanted and wanted.warrior_id.int % PURGE_EVERY == 0:
        session.execute(_PURGE[dialect], (KEY_LIFETIME_S, PURGED_MAX))
    return holder


_DUCKDB_FIND = """
    SELECT fingerprint, warrior_id, created_s >= CAST(epoch(now()) AS BIGINT) - ?
    FROM idempotency_keys WHERE key = ?
"""
_DUCKDB_ADD = """
    INSERT INTO idempotency_keys (key, fingerprint, warrior_id, created_s)
    VALUES (?, ?, ?, CAST(epoch(now()) AS BIGINT))
"""
_DUCKDB_RENEW = """
    UPDATE idempotency_keys
    SET fingerprint = ?, warrior_id = ?, created_s = CAST(epoch(now()) AS BIGINT) WHERE key = ?
"""


def _claim_on_duckdb(session: Session, key: str, wanted: Holder) -> Holder:
    # One unit runs at a time, so nobody comes between the look and the insert; ON CONFLICT alone
    # takes about twice as long as both.
    for mark, warrior_id, is_live in session.execute(_DUCKDB_FIND, (KEY_LIFETIME_S, key)):
        if is_live:
            return Holder(bytes(mark), warrior_id)
        session.execute(_DUCKDB_RENEW, (*wanted, key))
        return wanted
    session.execute(_DUCKDB_ADD, (key, *wanted))
    return wanted


# For a key that is new and for one that has expired; it returns a row where the key is now ours.
# Without the lock a second request would wait here for the first one's commit, and hold a
# connection for it. The lock ends with the transaction, also where that is lost.
_POSTGRES_TAKE = """
    INSERT INTO idempotency_keys (key, fingerprint, warrior_id, created_s)
    SELECT %s, %s, %s, CAST(extract(epoch FROM now()) AS bigint)
    WHERE pg_try_advisory_xact_lock(hashtextextended(%s::text, 0))
    ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint,
        warrior_id = excluded.warrior_id, created_s = excluded.created_s
    WHERE idempotency_keys.created_s < excluded.created_s - %s
    RETURNING key
"""
_POSTGRES_FIND = """
    SELECT fingerprint, warrior_id FROM idempotency_keys
    WHERE key = %s AND created_s >= CAST(extract(epoch FROM now()) AS bigint) - %s
"""


def _claim_on_postgres(session: Session, key: str, wanted: Holder) -> Holder | None:
    if session.execute(_POSTGRES_TAKE, (key, *wanted, key, KEY_LIFETIME_S)):
        return wanted
    for mark, warrior_id in session.execute(_POSTGRES_FIND, (key, KEY_LIFETIME_S)):
        return Holder(bytes(mark), warrior_id)
    return None


_PURGE = {
    "duckdb": """
        DELETE FROM idempotency_keys WHERE rowid IN (
            SELECT rowid FROM idempotency_keys
            WHERE created_s < CAST(epoch(now()) AS BIGINT) - ? LIMIT ?
        )
    """,
    "postgres": """
        DELETE FROM idempotency_keys WHERE key IN (
            SELECT key FROM idempotency_keys
            WHERE created_s < CAST(extract(epoch FROM now()) AS bigint) - %s
            LIMIT %s FOR UPDATE SKIP LOCKED
        )
    """,
}


def fingerprint(new: NewWarrior) -> bytes:
    """Return 32 bytes that are equal for requests that describe the same warrior.

    Not a hash of the body: a client that writes its JSON anew, with other white space or
    another order of members, still asks for the same thing.
    """
    described = [new.name, new.dob.isoformat(), list(new.fight_skills)]
    return hashlib.sha256(json.dumps(described).encode()).digest()
