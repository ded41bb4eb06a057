"""The closed sets of words that every other module, label, log line and page uses.

``Lane`` and ``Reason`` are keys of look-ups on every request, and ``Enum.__hash__`` is a Python
function; their members are strings, whose own hash is the same and costs a tenth.
"""

from __future__ import annotations

from enum import StrEnum


class Lane(StrEnum):
    """A class of work with a pool, a limit and a wait budget of its own."""

    __hash__ = str.__hash__

    READ = "read"
    WRITE = "write"


class Priority(StrEnum):
    """How much a request matters; where there is not enough for all, the lower ones go first."""

    __hash__ = str.__hash__

    CRITICAL = "critical"
    """May use the whole lane, and what is reserved."""
    NORMAL = "normal"
    """What nobody said anything about."""
    SHEDDABLE = "sheddable"
    """Is shed first."""


class Mode(StrEnum):
    """What the guard does with its own decision."""

    ENFORCE = "enforce"
    """Sheds."""
    SHADOW = "shadow"
    """Decides and counts what it would have shed, and admits."""
    OFF = "off"
    """Decides nothing."""


class Policy(StrEnum):
    """How a pool's saturation is told."""

    PREDICTIVE = "predictive"
    """By the wait that the request would have, in seconds."""
    STATIC = "static"
    """By a share of the pool that is in use."""


class QueueOrder(StrEnum):
    """Which of those who wait for a connection is served next."""

    ARRIVAL = "arrival"
    """Who has waited longest."""
    ADAPTIVE = "adaptive"
    """Who came last while the queue stands, else who has waited longest."""


class RetryPolicy(StrEnum):
    """How the second is found in which a refused client shall come back."""

    BOOK = "book"
    """By the appointment book, which all workers share."""
    SPREAD = "spread"
    """By lot."""


class Reason(StrEnum):
    """Why a request was admitted or shed; one per request."""

    __hash__ = str.__hash__

    OK = "ok"
    """There was room."""
    EXEMPT = "exempt"
    """The request needs no database; it is never shed."""
    POOL_SATURATED = "pool_saturated"
    """The lane's pool is in use and its queue is full, too slow, or the pool has no connection."""
    THREADS_EXHAUSTED = "threads_exhausted"
    """One more request of this lane would take a thread from the reserve."""
    QUEUE_DELAY = "queue_delay"
    """A standing queue: the request has grown old in front of the application."""
    LOW_PRIORITY = "low_priority"
    """What is left of the lane is kept for requests of a higher class."""
    UNFAIR_SHARE = "unfair_share"
    """The lane is short, and this client already has more of it than its fair share."""
    BREAKER_OPEN = "breaker_open"
    """The lane's database is failing; nothing is sent to it but probes."""
    DEADLINE = "deadline"
    """The answer would come after the request's deadline."""
    DRAINING = "draining"
    """The worker is going away."""
    STARTING = "starting"
    """The database is not open yet."""
    CLIENT_GONE = "client_gone"
    """The client hung up while its request waited; the request is dropped, and nobody is told."""

    @property
    def sheds(self) -> bool:
        """Whether a request with this reason is refused, which its client hears."""
        return self not in _UNREFUSED


_UNREFUSED = frozenset({Reason.OK, Reason.EXEMPT, Reason.CLIENT_GONE})


class Outcome(StrEnum):
    """What one use of the database says about the database's health."""

    OK = "ok"
    """The database answered, be it with an error that is the client's fault."""
    FAILURE = "failure"
    """The database is sick: unreachable, out of space, shutting down."""
    NEUTRAL = "neutral"
    """Says nothing about health: saturation, a lost race, a statement that was cut short."""


class BreakerPhase(StrEnum):
    """The circuit breaker's state; pybreaker knows the first three."""

    CLOSED = "closed"
    """Everybody may use the database."""
    OPEN = "open"
    """Nobody may."""
    HALF_OPEN = "half-open"
    """Nobody may but the one probe."""
    RECOVERING = "recovering"
    """The probe was answered: a growing share of the requests may."""
