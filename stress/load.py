"""The open-loop generator: users arrive when they are due, whatever the service does.

Each user is a greenlet with a connection of its own. Latency counts from the due time, so a
service that stalls cannot hide its stall by holding back the users behind it. Nothing is ever
sent twice: of ``geventhttpclient`` only the parser is used, since its client repeats by itself.
"""

from __future__ import annotations

import gc
import json
from contextlib import contextmanager, suppress
from errno import errorcode
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

import gevent
from gevent import socket
from gevent.pool import Group
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

from stress.arrivals import CREATE
from stress.payloads import CREATED, Payloads, Request, look_up
from stress.result import Run, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stress.arrivals import Arrival

TIMEOUT_S = 10.0
"""A request without its whole answer after this long has failed, seconds."""

_SHED = 503


class Target(NamedTuple):
    """Where the service listens.

    Attributes:
        host: an IP address of the loopback interface.
        port: its TCP port.
    """

    host: str
    port: int


class User(NamedTuple):
    """One virtual user.

    Attributes:
        due_s: when it arrives, seconds from the beginning.
        request: what it sends.
        think_s: how long after the answer it looks up what it created, seconds.
    """

    due_s: float
    request: Request
    think_s: float


class NotLoopbackError(ValueError):
    """The target is no address of the loopback interface; load goes nowhere else."""


class _Answer(NamedTuple):
    status: int
    location: str
    content_type: str
    body: bytes


def users(arrivals: Sequence[Arrival], seed: int) -> list[User]:
    """Return the users of a schedule; the same seed makes the same ones."""
    payloads = Payloads(seed)
    return [
        User(arrival.due_s, payloads.request(arrival.kind), payloads.think_s())
        for arrival in arrivals
    ]


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


def generate(
    target: Target, arriving: Sequence[User], seconds: float, *, timeout_s: float = TIMEOUT_S
) -> Run:
    """Let the users arrive and return what became of them; Ctrl-C ends the run early.

    Args:
        target: where the service is.
        arriving: the users, by due time.
        seconds: the schedule's length, for the rates, > 0.
        timeout_s: bounds each request, connecting included, > 0.

    Raises:
        NotLoopbackError: the target is elsewhere.
    """
    check_loopback(target.host)
    generator = _Generator(target, timeout_s)
    with _no_collections():
        interrupted = generator.run(arriving)
    return Run(generator.samples, generator.sent, len(arriving), seconds, interrupted)


@contextmanager
def _no_collections() -> Iterator[None]:
    # A full collection over thousands of users would stall the generator for 10s of ms.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class _Generator:
    def __init__(self, target: Target, timeout_s: float) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._begun = 0.0
        self.samples: list[Sample] = []
        self.sent = 0

    def run(self, arriving: Sequence[User]) -> bool:
        group = Group()
        self._begun = perf_counter()
        try:
            for user in arriving:
                # Always through the hub: however late we are, answers are read as well.
                gevent.sleep(max(0.0, user.due_s - self._now_s()))
                group.start(gevent.Greenlet(self._user, user))
            group.join()
        except KeyboardInterrupt:
            group.kill(timeout=1.0)
            return True
        return False

    def _now_s(self) -> float:
        return perf_counter() - self._begun

    def _user(self, user: User) -> None:
        with suppress(gevent.GreenletExit), _Connection(self._target) as connection:
            sample = self._request(connection, user.request, user.due_s)
            if user.request.kind != CREATE or sample.acknowledged is None or not sample.right:
                return
            due_s = sample.due_s + sample.latency_s + user.think_s
            gevent.sleep(max(0.0, due_s - self._now_s()))
            self._request(connection, look_up(sample.acknowledged), due_s)

    def _request(self, connection: _Connection, request: Request, due_s: float) -> Sample:
        self.sent += 1
        lag_s = self._now_s() - due_s
        answer, failure = None, ""
        try:
            with gevent.Timeout(self._timeout_s):
                answer = connection.exchange(request)
        except gevent.Timeout:
            failure = "time-out"
        except gevent.GreenletExit:
            self._ended(request, due_s, lag_s, "interrupted")
            raise
        except (OSError, HTTPParseError) as error:
            failure = errorcode.get(getattr(error, "errno", None) or 0, type(error).__name__)
        return self._ended(request, due_s, lag_s, answer or failure)

    def _ended(
        self, request: Request, due_s: float, lag_s: float, outcome: _Answer | str
    ) -> Sample:
        latency_s = self._now_s() - due_s
        if isinstance(outcome, str):
            sample = Sample(
                request.kind, due_s, lag_s, latency_s, request.expected, failure=outcome
            )
        else:
            stored = _json(outcome) if outcome.status == CREATED else None
            sample = Sample(
                request.kind,
                due_s,
                lag_s,
                latency_s,
                request.expected,
                status=outcome.status,
                right=request.is_right(outcome.status, outcome.location, outcome.body),
                reason=_refusal(outcome),
                acknowledged=stored,
                submitted=request.fields if stored else None,
            )
        self.samples.append(sample)
        return sample


class _Connection:
    """A user's connection: opened when needed, never reused by another. One greenlet's."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._host = f"{target.host}:{target.port}"
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def exchange(self, request: Request) -> _Answer:
        """Send a request, once, and return the whole answer."""
        if self._socket is None:
            self._socket = socket.socket()
            self._socket.connect(tuple(self._target))
        self._socket.sendall(_wire(request, self._host))
        response = HTTPSocketResponse(self._socket, method=request.method)
        body = bytes(response.read())
        if response.should_close():
            self._close()
        location, content_type = response.get("location", ""), response.get("content-type", "")
        return _Answer(int(response.status_code), str(location), str(content_type), body)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _wire(request: Request, host: str) -> bytes:
    head = f"{request.method} {request.target} HTTP/1.1\r\nHost: {host}\r\n"
    if request.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n"
    return head.encode("ascii") + b"\r\n" + request.body


def _json(answer: _Answer) -> dict[str, object] | None:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(answer: _Answer) -> str:
    if answer.status != _SHED or not answer.content_type.startswith("application/problem+json"):
        return ""
    return str((_json(answer) or {}).get("reason") or "")
