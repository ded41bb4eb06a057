from __future__ import annotations

import math
import resource
import socket
import time
from typing import TYPE_CHECKING

import pytest

from guard.backends.postgres.watchdog import Watchdog
from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(MonotonicClock())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        yield ours, theirs


def test_a_read_ends_at_the_deadline(
    watchdog: Watchdog, ends: tuple[socket.socket, socket.socket]
) -> None:
    watch = watchdog.arm(ends[0].fileno(), time.monotonic() + 0.02)
    assert ends[0].recv(1) == b""
    assert watchdog.disarm(watch)


def test_an_earlier_deadline_is_not_missed(
    watchdog: Watchdog, ends: tuple[socket.socket, socket.socket]
) -> None:
    later = watchdog.arm(ends[1].fileno(), time.monotonic() + 60)
    watchdog.arm(ends[0].fileno(), time.monotonic() + 0.02)
    assert ends[0].recv(1) == b""
    assert not watchdog.disarm(later)


def test_what_was_disarmed_stays_open(
    watchdog: Watchdog, ends: tuple[socket.socket, socket.socket]
) -> None:
    watch = watchdog.arm(ends[0].fileno(), math.inf)
    assert not watchdog.disarm(watch)
    watchdog.cut_all()
    ends[1].send(b"x")
    assert ends[0].recv(1) == b"x"


def test_cut_all_ends_even_what_has_no_deadline(
    watchdog: Watchdog, ends: tuple[socket.socket, socket.socket]
) -> None:
    watch = watchdog.arm(ends[0].fileno(), math.inf)
    watchdog.cut_all()
    assert ends[0].recv(1) == b""
    assert watchdog.disarm(watch)


def test_a_socket_that_has_gone_is_no_error(watchdog: Watchdog) -> None:
    ours, theirs = socket.socketpair()
    watch = watchdog.arm(ours.fileno(), math.inf)
    ours.close()
    theirs.close()
    watchdog.cut_all()
    assert watch.cut


def test_a_process_without_a_descriptor_left_still_cuts(
    watchdog: Watchdog, ends: tuple[socket.socket, socket.socket]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch = watchdog.arm(ends[0].fileno(), math.inf)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        watchdog.cut_all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert ends[0].recv(1) == b""
    assert watchdog.disarm(watch)
    ends[0].getpeername()  # open still: it is its owner who closes it


def test_stop_without_start_is_no_error() -> None:
    Watchdog(MonotonicClock()).stop()
