"""What an open-loop generator is given and hands back. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from stress.response import Response

OWN_LIMITS: Final = frozenset(
    {"EMFILE", "ENFILE", "EADDRINUSE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM"}
)
"""Failures that are the generator's, never the service's."""


class Target(NamedTuple):
    """Where the service listens.

    Attributes:
        host: an IP address of the loopback interface.
        port: its TCP port.
    """

    host: str
    port: int


class Shot(NamedTuple):
    """One request to be sent.

    Attributes:
        due_s: when, seconds from the beginning.
        wire: all its bytes.
        what: the caller's own; handed back with the outcome.
        source: the loopback address that it comes from; empty for any.
        fresh: it has a new connection, even where it follows an answer.
    """

    due_s: float
    wire: bytes
    what: Any = None
    source: str = ""
    fresh: bool = False


class Outcome(NamedTuple):
    """What became of one request.

    Attributes:
        shot: the request.
        lag_s: how much later than due it was sent, seconds.
        latency_s: from the due time to the end of the answer, or of waiting for it, seconds.
        response: the answer; None where there was none.
        failure: why there was none; empty where there was one.
    """

    shot: Shot
    lag_s: float
    latency_s: float
    response: Response | None
    failure: str = ""


class Volley(NamedTuple):
    """Everything that was sent, and what it took.

    Attributes:
        outcomes: one per request, in the order in which they ended.
        sent: requests, counted when they were sent.
        connections: how many were opened.
        cpu_s: processor time that the generator used, seconds.
        took_s: from the beginning to the last outcome, seconds.
        interrupted: Ctrl-C ended it early.
        begun_s: when it began, by ``perf_counter``.
    """

    outcomes: list[Outcome]
    sent: int
    connections: int
    cpu_s: float
    took_s: float
    interrupted: bool
    begun_s: float = 0.0


class NotLoopbackError(ValueError):
    """The target is no address of the loopback interface; load goes nowhere else."""


def check_loopback(host: str) -> None:
    """Refuse every host that is no loopback address, names included.

    Raises:
        NotLoopbackError: it is none.
    """
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotLoopbackError(f"{host!r} is no loopback address; load is sent to no other")
