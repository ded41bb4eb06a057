"""How long ago a request arrived, and whether its client is still there, told by the kernel.

gthread queues accepted requests in front of the application, where the middleware can't see
them. Linux keeps, for each TCP socket, the time since data last came in; when the request head
is parsed at last, that is the time for which the request has waited.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.routing import Environ

ACCEPTED_KEY = "guard.accepted_s"
"""Environ key under which ``guard.gunicorn.worker`` tells when the request arrived, in seconds
of the monotonic clock."""
SOCKET_KEY = "gunicorn.socket"
_LAST_DATA_RECV_OFFSET = 52  # tcpi_last_data_recv in struct tcp_info, u32, milliseconds
_LENGTH = 56
# tcpi_state, the first byte of struct tcp_info, after the client's end or its reset; from Linux'
# include/net/tcp_states.h.
_CLOSE, _CLOSE_WAIT = 7, 8
_LEFT = frozenset({_CLOSE, _CLOSE_WAIT})


def socket_age_s(environ: Environ) -> float:
    """Return seconds since the request's last byte came in; 0 where the kernel can't tell.

    Works under gunicorn; on another server it returns 0.
    """
    sock = environ.get(SOCKET_KEY)
    return 0.0 if sock is None else last_received_ago_s(sock)


def last_received_ago_s(sock: socket.socket) -> float:
    """Return seconds since data last came in; 0 where the kernel can't tell.

    It can on Linux over TCP, not on a Unix socket or under TLS. Costs about 1.5 us. The kernel
    counts in steps of up to 4 ms.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
    except (OSError, AttributeError):
        return 0.0
    if len(info) < _LENGTH:
        return 0.0
    age_ms: int = struct.unpack_from("I", info, _LAST_DATA_RECV_OFFSET)[0]
    return age_ms / 1000


def hung_up(environ: Environ) -> bool:
    """Return whether the request's client has closed its connection; False where none can tell.

    Works under gunicorn on Linux over TCP; costs about 1 us. A client that has closed only its
    sending half, which few do, can't be told from one that is gone.
    """
    sock = environ.get(SOCKET_KEY)
    if sock is None:
        return False
    try:
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except (OSError, AttributeError):
        return False
    return bool(info) and info[0] in _LEFT
