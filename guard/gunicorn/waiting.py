"""Connections that wait in the loop, in the order of their deadlines."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Waits(Protocol):
    waits_in: Waiting | None  # type: ignore[type-arg]  # of its own kind


Conn = TypeVar("Conn", bound=_Waits)


class Waiting(Generic[Conn]):
    """As much of a ``deque`` as gunicorn uses; ``remove`` finds its element at once.

    A deque compares each element, which among a thousand idle connections costs more than the
    refusal of a request. Each connection knows in ``waits_in`` where it is, whoever put it there.
    Not thread-safe: the loop's thread alone touches it.
    """

    def __init__(self) -> None:
        self._all: OrderedDict[Conn, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Conn]:
        return iter(self._all)

    def __getitem__(self, index: int) -> Conn:
        """Return the oldest; no other index is known."""
        if index or not self._all:
            raise IndexError(index)
        return next(iter(self._all))

    def append(self, conn: Conn) -> None:
        """Add a connection that waits nowhere, as the youngest."""
        self._all[conn] = None
        conn.waits_in = self

    def popleft(self) -> Conn:
        """Take out the oldest.

        Raises:
            KeyError: there is none.
        """
        conn, _ = self._all.popitem(last=False)
        conn.waits_in = None
        return conn

    def remove(self, conn: Conn) -> None:
        """Take out a connection.

        Raises:
            KeyError: it is not there.
        """
        del self._all[conn]
        conn.waits_in = None
