"""A connection in memory for the length of one unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import BackendClosed, ReadOnlyViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guard.backends.base import Row

_READING = frozenset({"", "select", "with", "values", "show", "explain", "table", "from"})


class MemorySession:
    """Hands each statement to a function; useless after its unit, like a real one.

    Args:
        run: answers a statement.
        read_only: refuse statements whose first word doesn't read.
    """

    def __init__(
        self, run: Callable[[str, Sequence[object]], list[Row]], *, read_only: bool
    ) -> None:
        self._run = run
        self._read_only = read_only
        self._ended = False

    def execute(
        self, sql: str, params: Sequence[object] = (), *, prepare: bool = True
    ) -> list[Row]:
        """Run one statement and return its rows.

        Raises:
            ReadOnlyViolation: the session reads only and the statement doesn't.
            BackendClosed: the unit has ended.
            Exception: whatever the backend's ``execute`` or ``failure`` raises.
        """
        del prepare
        if self._ended:
            raise BackendClosed("a session is useless after its unit")
        first_word = (sql.split(None, 1) or [""])[0].lower()
        if self._read_only and first_word not in _READING:
            raise ReadOnlyViolation(f"{first_word} on a read connection")
        return self._run(sql, params)

    def rows(self, sql: str, params: Sequence[object] = (), *, chunk: int = 1000) -> Iterator[Row]:
        """Yield the rows of one statement; ``chunk`` means nothing in memory."""
        del chunk
        yield from self.execute(sql, params)

    def end(self) -> None:
        """Say that the unit has ended."""
        self._ended = True
