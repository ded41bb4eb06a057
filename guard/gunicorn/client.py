"""A client's connection, as the worker's loop and its threads hand it to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import TConn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from guard.gunicorn.waiting import Waiting


class Connection(TConn):  # type: ignore[misc]  # gunicorn carries no types
    """A client's connection.

    Args:
        cfg: gunicorn's settings.
        sock: its socket.
        *names: the client's address and the server's.
        see_off: closes it once its client has heard the last answer, without waiting for that.

    Attributes:
        queued_s: when the request arrived that was queued for a thread, on the monotonic clock.
        begun: what has come of a request that is not whole yet.
        waits_in: where in the loop it waits; None while it does not. ``Waiting`` sets it.
    """

    queued_s = 0.0
    begun = b""
    waits_in: Waiting[Connection] | None = None

    def __init__(
        self,
        cfg: Any,  # noqa: ANN401 - gunicorn's Config
        sock: socket.socket,
        *names: Any,  # noqa: ANN401
        see_off: Callable[[Connection], None],
    ) -> None:
        super().__init__(cfg, sock, *names)
        self._see_off = see_off

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's
        """Close; a graceful close lets the client hear the last answer first."""
        if graceful and not self.cfg.is_ssl:
            self._see_off(self)
        else:
            super().close(graceful)


def is_plain(cfg: Any) -> bool:  # noqa: ANN401 - gunicorn's Config
    """Tell whether what comes through a socket is HTTP/1 and nothing before it."""
    return (
        not cfg.is_ssl
        and cfg.proxy_protocol == "off"
        and cfg.protocol == "http"
        and cfg.http2_cleartext not in {"prior-knowledge", "both"}
    )
