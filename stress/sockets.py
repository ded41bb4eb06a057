"""Sockets that connect without waiting, from as many loopback addresses as it takes."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stress.shots import Target

SOURCES: Final = tuple(f"127.0.0.{number}" for number in range(2, 18))
"""Where requests come from in turns: a closed connection keeps its port for a minute, and one
address alone has ports for some 500 new connections per second."""

_IP_BIND_ADDRESS_NO_PORT: Final = 24  # linux/in.h; the port is then chosen per destination


def sources_for(target: Target) -> tuple[str, ...]:
    """Return the addresses to connect from; one empty text leaves the choice to the kernel."""
    return SOURCES if _family(target) is socket.AF_INET else ("",)


def connecting(target: Target, source: str) -> socket.socket:
    """Return a non-blocking socket that is connected, or on its way.

    Args:
        target: where to.
        source: the address that it comes from; empty for any.

    Raises:
        OSError: it failed at once.
    """
    sock = socket.socket(_family(target), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if source:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        with suppress(BlockingIOError):
            sock.connect(target)
    except OSError:
        sock.close()
        raise
    return sock


def _family(target: Target) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in target.host else socket.AF_INET
