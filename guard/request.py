"""What is known of the request under way in this thread."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from guard.core.vocabulary import Priority, Reason

if TYPE_CHECKING:
    from guard.core.vocabulary import Lane
    from guard.correlation import Correlation
    from guard.permit import Permit


UNKNOWN = 2**63 - 1
"""The position of a write whose own could not be learnt: only the primary is sure to have it."""


class Mark:
    """How much of a database's log somebody has seen. Not thread-safe.

    Attributes:
        position: bytes of the log; 0 where no read has to see anything. Reads that bring the mark
            see at least as much, and a write that brings it moves it on.
        moved: whether a write has moved it.
    """

    __slots__ = ("moved", "position")

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.moved = False

    def move(self, position: int) -> None:
        """Move it to a write's position; never back."""
        self.position = max(self.position, position)
        self.moved = True


class RequestScope:
    """One request's times, permits and verdict. Used by the one thread that serves it.

    Attributes:
        arrived_s: when the request was accepted, on the controller's clock.
        deadline_at_s: when the answer must be there.
        lane: the lane by which it was classified; None where it needs no database.
        permits: the permits that it holds, by lane.
        reason: why it was admitted or shed; the one reason that is counted.
        retry_after_s: the Retry-After that it was shed with; 0 where it was not.
        would_shed: shadow mode only: it was admitted although the decision was to shed.
        priority: its class.
        client: the key by which its client is told apart; empty where nobody is.
        correlation: the names by which others know the request; None where it has none.
        executed: True once the database was asked for anything; no refusal may then promise
            that nothing was.
        may_wait: whether it was admitted to wait for a connection.
        relieved: how it was answered although its lane had no room for it, as ``guard.tally``
            counts it; empty where it was not.
        mark: what its reads must see and its writes move; None where nobody asks.
    """

    # What most requests never set costs them nothing here.
    reason = Reason.OK
    retry_after_s = 0
    would_shed = False
    priority = Priority.NORMAL
    client = ""
    correlation: Correlation | None = None
    executed = False
    may_wait = False
    relieved = ""
    mark: Mark | None = None

    def __init__(self, lane: Lane | None, arrived_s: float, deadline_at_s: float) -> None:
        self.lane = lane
        self.arrived_s = arrived_s
        self.deadline_at_s = deadline_at_s
        self.permits: dict[Lane, Permit] = {}

    def client_gone(self) -> bool:
        """Return whether it is known that nobody waits for the answer any more."""
        return False

    def release(self, held_s: float | None = None) -> None:
        """Give every permit back; later calls do nothing. For ``held_s`` see ``Permit``."""
        while self.permits:
            self.permits.popitem()[1].release(held_s)


CURRENT: ContextVar[RequestScope | None] = ContextVar("guard_request", default=None)
"""The scope of the request that this thread serves; None outside of any."""
