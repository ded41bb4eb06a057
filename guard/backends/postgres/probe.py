"""One statement on a connection of its own, its whole time bounded."""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PGconn, PollingStatus

from guard.backends.postgres.errors import judge
from guard.backends.verdict import answered
from guard.core.vocabulary import Lane
from guard.errors import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq import abc

    from guard.clock import Clock


STATEMENTS: Final = {
    Lane.READ: b"SELECT 1",
    # A disk that is full and a standby answer queries. This takes new pages and a durable
    # commit, and is gone with it.
    Lane.WRITE: b"CREATE TEMPORARY TABLE guard_probe ON COMMIT DROP AS "
    b"SELECT repeat('x', 1000) AS filler FROM pg_catalog.generate_series(1, 64)",
}
"""What each lane is asked."""


class NoAnswer(BackendFailed):
    """Nothing came back in time, not even a refusal."""


def probe(conninfo: str, lane: Lane, timeout_s: float, clock: Clock) -> None:
    """Connect, ask, disconnect.

    The driver's own connect time-out has whole seconds, and a frozen server takes connections
    and answers none, so each step is waited for here. Only the look-up of a host *name* is
    not bounded: write the address where that matters.

    Args:
        conninfo: where to connect.
        lane: whose statement is run.
        timeout_s: longest time for all of it, seconds, > 0.
        clock: measures it.

    Raises:
        NoAnswer: no answer in time.
        BackendFailed: the wrong answer.
    """
    deadline_s = clock.now_s() + timeout_s
    connection = PGconn.connect_start(conninfo.encode())
    try:
        _connect(connection, deadline_s, clock)
        _ask(connection, STATEMENTS[lane], deadline_s, clock)
    except psycopg.Error as error:
        raise BackendFailed(f"the probe failed: {error}") from error
    finally:
        connection.finish()


def probe_any(conninfos: Sequence[str], lane: Lane, timeout_s: float, clock: Clock) -> None:
    """Probe one server after the other until one answers as ``probe`` wants.

    Raises:
        NoAnswer: the last one gave no answer in time.
        BackendFailed: the last one gave the wrong answer.
    """
    for at, conninfo in enumerate(conninfos, 1):
        try:
            probe(conninfo, lane, timeout_s, clock)
        except BackendFailed:
            if at == len(conninfos):
                raise
        else:
            return


def _connect(connection: abc.PGconn, deadline_s: float, clock: Clock) -> None:
    if connection.status == ConnStatus.BAD:
        raise _failure(connection)
    wanted = select.POLLOUT
    while True:
        _await(connection, wanted, deadline_s, clock)
        state = connection.connect_poll()
        if state == PollingStatus.OK:
            return
        if state == PollingStatus.FAILED:
            raise _failure(connection)
        wanted = select.POLLIN if state == PollingStatus.READING else select.POLLOUT


def _ask(connection: abc.PGconn, statement: bytes, deadline_s: float, clock: Clock) -> None:
    connection.nonblocking = 1
    connection.send_query(statement)
    while connection.flush():
        _await(connection, select.POLLIN | select.POLLOUT, deadline_s, clock)
        connection.consume_input()
    while connection.is_busy():
        _await(connection, select.POLLIN, deadline_s, clock)
        connection.consume_input()
    result = connection.get_result()
    if result is None:
        raise _failure(connection)
    if result.status == ExecStatus.FATAL_ERROR and not answered(judge(error_from_result(result))):
        raise _failure(connection)


def _await(connection: abc.PGconn, wanted: int, deadline_s: float, clock: Clock) -> None:
    left_s = deadline_s - clock.now_s()
    poll = select.poll()
    poll.register(connection.socket, wanted)
    if left_s <= 0 or not poll.poll(math.ceil(left_s * 1000)):
        raise NoAnswer("the probe got no answer in time")


def _failure(connection: abc.PGconn) -> BackendFailed:
    return BackendFailed(f"the probe failed: {' '.join(connection.get_error_message().split())}")
