"""What a statement is, found once by the engine's own parser and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from duckdb import StatementType

from guard.core.vocabulary import Lane
from guard.errors import BackendError, ReadOnlyViolation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_CACHED_MAX: Final = 1024
_ANSWERS: Final = frozenset({StatementType.SELECT, StatementType.EXPLAIN})
_CHANGES: Final = frozenset(
    {StatementType.INSERT, StatementType.UPDATE, StatementType.DELETE, StatementType.MERGE_INTO}
)
# Not among them: whatever begins or ends a transaction, or changes the writer's connection for
# the units that come after.
_WRITES: Final = (
    _ANSWERS | _CHANGES | {StatementType.CREATE, StatementType.ALTER, StatementType.DROP}
)


class Parsed(NamedTuple):
    """One parsed statement; can be run any number of times on any connection.

    Attributes:
        statement: what the engine runs, without parsing it again.
        type: the engine's word for it.
        answers: whether it returns rows of its own.
    """

    statement: Statement
    type: StatementType
    answers: bool


class Statements:
    """Parsed statements by their text. Thread-safe; forgets all when it has too many."""

    def __init__(self) -> None:
        self._known: dict[str, Parsed | None] = {}

    def find(self, cursor: DuckDBPyConnection, sql: str, lane: Lane) -> Parsed:
        """Return the one statement in ``sql``, if the lane may run it.

        Raises:
            ReadOnlyViolation: on the read lane, not exactly one SELECT.
            BackendError: on the write lane, not exactly one statement, or one that would end
                the transaction or change the connection.
            duckdb.Error: it can't be parsed.
        """
        known = self._known
        if sql in known:
            parsed = known[sql]
        else:
            parsed = _parse(cursor, sql)
            if len(known) >= _CACHED_MAX:
                # Another thread may have looked at it in between: it keeps what it has.
                self._known = known = {}
            known[sql] = parsed
        if lane is Lane.READ:
            if parsed is None or parsed.type != StatementType.SELECT:
                raise ReadOnlyViolation("a read connection runs exactly one SELECT at a time")
        elif parsed is None:
            raise BackendError("exactly one statement can be run at a time")
        elif parsed.type not in _WRITES:
            raise BackendError(f"{parsed.type.name} can't be part of a unit of work")
        return parsed


def _parse(cursor: DuckDBPyConnection, sql: str) -> Parsed | None:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        return None
    statement = statements[0]
    kind = statement.type
    answers = kind in _ANSWERS or (kind in _CHANGES and "returning" in sql.lower())
    return Parsed(statement, kind, answers)
