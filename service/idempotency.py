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


class _Statements(NamedTuple):
    take: str
    find: str
    purge: str


# One statement for a key that is new and for one that has expired; it returns a row where the
# key is now ours.
_TAKE = """
    INSERT INTO idempotency_keys (key, fingerprint, warrior_id, created_s)
    SELECT {values}, {now_s} {condition}
    ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint,
        warrior_id = excluded.warrior_id, created_s = excluded.created_s
    WHERE idempotency_keys.created_s < {now_s} - {lifetime_s}
    RETURNING key
"""
_FIND = """
    SELECT fingerprint, warrior_id FROM idempotency_keys
    WHERE key = {value} AND created_s >= {now_s} - {lifetime_s}
"""
_PURGE = """
    DELETE FROM idempotency_keys WHERE {row} IN (
        SELECT {row} FROM idempotency_keys WHERE created_s < {now_s} - {lifetime_s}
        LIMIT {purged_max} {locking}
    )
"""


def _statements(**parts: str) -> _Statements:
    known = {"lifetime_s": KEY_LIFETIME_S, "purged_max": PURGED_MAX, **parts}
    return _Statements(*(text.format(**known) for text in (_TAKE, _FIND, _PURGE)))


_STATEMENTS = {
    "duckdb": _statements(
        now_s="CAST(epoch(now()) AS BIGINT)",
        values="?, ?, ?",
        value="?",
        condition="",
        row="rowid",
        locking="",
    ),
    # Without the lock a second request would wait here for the first one's commit, and hold a
    # connection for it. It ends with the transaction, also where that is lost.
    "postgres": _statements(
        now_s="CAST(extract(epoch FROM now()) AS bigint)",
        values="%s, %s, %s",
        value="%s",
        condition="WHERE pg_try_advisory_xact_lock(hashtextextended(%s::text, 0))",
        row="key",
        locking="FOR UPDATE SKIP LOCKED",
    ),
}


def claim(session: Session, dialect: str, key: str, wanted: Holder) -> Holder | None:
    """Give ``key`` to ``wanted`` unless another has it, and return who has it now.

    To be called in the transaction that stores the warrior; None where another process is at
    it at this moment. Nothing is raised for a key that is taken: on DuckDB other callers'
    units share the transaction, and would have to be run again.
    """
    sql = _STATEMENTS[dialect]
    # PostgreSQL's lock takes the key once more.
    locked = (key,) if dialect == "postgres" else ()
    if session.execute(sql.take, (key, *wanted, *locked)):
        # The id is random, so it serves as the die too. After the take, which may have renewed
        # an expired key: DuckDB can't delete and insert one key in the same transaction.
        if wanted.warrior_id.int % PURGE_EVERY == 0:
            session.execute(sql.purge)
        return wanted
    for mark, warrior_id in session.execute(sql.find, (key,)):
        return Holder(bytes(mark), warrior_id)
    return None


def fingerprint(new: NewWarrior) -> bytes:
    """Return 32 bytes that are equal for requests that describe the same warrior.

    Not a hash of the body: a client that writes its JSON anew, with other white space or
    another order of members, still asks for the same thing.
    """
    described = [new.name, new.dob.isoformat(), list(new.fight_skills)]
    return hashlib.sha256(json.dumps(described).encode()).digest()
