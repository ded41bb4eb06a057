"""Who waits for a lock, and whom for: the shapes in which backends tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from guard.core.vocabulary import Lane


class Blocker(NamedTuple):
    """A session that holds what another one waits for.

    Texts are empty where the server does not tell them: to a role without ``pg_read_all_stats``
    it shows only that role's own sessions.

    Attributes:
        pid: the server's process id; 0 for a prepared transaction.
        application_name: what the session calls itself.
        state: ``active``, ``idle in transaction`` and so on.
        transaction_s: age of its transaction, seconds; 0 where unknown.
        query: its statement, cut short; empty unless texts of queries may be shown.
    """

    pid: int
    application_name: str
    state: str
    transaction_s: float
    query: str


class LockWait(NamedTuple):
    """Callers that wait for a lock.

    Attributes:
        lane: whose connection waits.
        waiters: how many callers this row tells of; 1 on PostgreSQL.
        waited_s: how long the oldest has waited, seconds.
        lock: what is waited for: ``transactionid ShareLock``, or ``writer`` on DuckDB.
        relation: the table that it is about; empty where it is about none, or not known.
        pid: the server's process id of the one who waits; 0 on DuckDB.
        application_name: what the waiting session calls itself.
        state: its state.
        query: as a blocker's.
        blockers: who has to end first; empty on DuckDB, where it is the batch under way.
    """

    lane: Lane
    waiters: int
    waited_s: float
    lock: str
    relation: str = ""
    pid: int = 0
    application_name: str = ""
    state: str = ""
    query: str = ""
    blockers: tuple[Blocker, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        blockers = [blocker._asdict() for blocker in self.blockers]
        return {**self._asdict(), "lane": self.lane.value, "blockers": blockers}
