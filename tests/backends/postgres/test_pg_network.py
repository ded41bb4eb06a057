"""A network that swallows, resets and delays, between the backend and a real server."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from guard.backends.base import Bounds
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendError, BackendFailed
from stress.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.postgres import PostgresBackend

    Make = Callable[..., PostgresBackend]
    Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.postgres


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    port = int(postgres_url.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as running:
        yield running


def through(url: str, proxy: Proxy) -> str:
    """Return the URL by way of the proxy."""
    head, _, tail = url.rpartition(":")
    return f"{head}:{proxy.port}/{tail.partition('/')[2]}"


def _works(call: Callable[..., object]) -> bool:
    try:
        call(lambda s: s.execute("SELECT 1"))
    except BackendError:
        return False
    return True


def _whole(backend: PostgresBackend) -> bool:
    return all(backend.signals(lane).size == 2 for lane in Lane)


def test_a_peer_that_swallows_everything_holds_no_call_and_is_left_behind(
    postgres_url: str, proxy: Proxy, make_backend: Make, until: Until
) -> None:
    backend = make_backend(through(postgres_url, proxy))
    proxy.set(Fault.SWALLOW)
    started = time.monotonic()
    for call in (backend.read, backend.write):
        for _ in range(2):
            with pytest.raises(BackendFailed) as caught:
                call(lambda s: s.execute("SELECT 1"), Bounds(1.0, 0.1))
            assert backend.classify(caught.value) is Outcome.FAILURE
    until(lambda: not any(backend.signals(lane).size for lane in Lane))
    # With no connection left a call is refused after a moment, not after its whole wait.
    for lane in Lane:
        with pytest.raises(BackendError):
            backend.probe(lane, 0.1)
    assert not _works(backend.read)
    assert time.monotonic() - started < 8, "far from hanging for ever"
    proxy.set(Fault.NONE)
    until(lambda: _whole(backend))
    assert _works(backend.read)
    assert _works(backend.write)


def test_a_reset_network_fails_calls_at_once_and_is_come_back_from(
    postgres_url: str, proxy: Proxy, make_backend: Make, until: Until
) -> None:
    backend = make_backend(through(postgres_url, proxy))

    def unit(session: object) -> None:
        proxy.set(Fault.RESET)
        session.execute("SELECT 1")  # type: ignore[attr-defined]

    with pytest.raises(BackendFailed) as caught:
        backend.read(unit)
    assert backend.classify(caught.value) is Outcome.FAILURE
    until(lambda: not _works(backend.read))
    proxy.set(Fault.NONE)
    until(lambda: _works(backend.read))
    until(lambda: _whole(backend))


def test_a_slow_network_is_only_slow(postgres_url: str, proxy: Proxy, make_backend: Make) -> None:
    backend = make_backend(through(postgres_url, proxy))
    proxy.set(Fault.DELAY)
    assert _works(backend.read)
    proxy.set(Fault.NONE)
    assert _whole(backend)


def test_the_other_lane_does_not_notice(
    postgres_url: str, proxy: Proxy, make_backend: Make
) -> None:
    backend = make_backend(postgres_url, read_url=through(postgres_url, proxy))
    proxy.set(Fault.SWALLOW)
    for _ in range(2):
        with pytest.raises(BackendFailed):
            backend.read(lambda s: s.execute("SELECT 1"), Bounds(1.0, 0.1))
    assert all(_works(backend.write) for _ in range(20))
    backend.probe(Lane.WRITE, 5.0)
    with pytest.raises(BackendError):
        backend.probe(Lane.READ, 0.1)
    proxy.set(Fault.NONE)


def test_the_kernel_watches_every_connection(postgres_url: str, make_backend: Make) -> None:
    backend = make_backend(postgres_url, tcp_keepalive_s=7.0, tcp_user_timeout_s=3.5)
    wanted = {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 7,
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 7,
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 3500,
    }
    for lane in Lane:
        held = backend._pools[lane].take(1.0)
        with socket.socket(fileno=os.dup(held.pgconn.socket)) as raw:
            assert {option: raw.getsockopt(*option) for option in wanted} == wanted
        backend._pools[lane].give(held, broken=False)


def test_a_server_that_is_away_is_not_stormed(make_backend: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port, over = listener.getsockname()[1], Event()
        came: list[int] = []

        def refuse() -> None:
            while True:
                with listener.accept()[0]:
                    if over.is_set():
                        return
                    came.append(1)

        thread = Thread(target=refuse)
        thread.start()
        backend = make_backend(
            f"postgresql://x@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable",
            opened=False, read_pool_size=8, write_pool_size=8,
        )  # fmt: skip
        backend.open()
        over.wait(1.5)
        backend.close()
        over.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
    # The first attempt of every connection and the driver's second one, then a few a second.
    assert 2 <= len(came) <= 80


def test_an_attempt_that_hangs_keeps_no_lane_away(
    postgres_url: str, proxy: Proxy, make_backend: Make, until: Until
) -> None:
    """With a connect time-out that no test could wait for."""
    backend = make_backend(
        through(postgres_url, proxy), connect_timeout_s=600.0, probe_timeout_s=0.2
    )
    proxy.set(Fault.SWALLOW)
    for call in (backend.read, backend.write) * 2:
        with pytest.raises(BackendFailed):
            call(lambda s: s.execute("SELECT 1"), Bounds(1.0, 0.1))
    until(lambda: not any(backend.signals(lane).size for lane in Lane))
    # Attempts are made and given up, one after the other.
    until(lambda: "no answer in time" in backend._pools[Lane.READ].error)
    proxy.set(Fault.NONE)
    until(lambda: _whole(backend))
    assert _works(backend.read)
