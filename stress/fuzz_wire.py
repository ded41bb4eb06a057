"""Says a conversation to a server, piece by piece, and hears what comes back."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from threading import Event
from typing import TYPE_CHECKING, Final

from stress.fuzz_judge import Ending, Heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.shots import Target

PATIENCE_S: Final = 30.0
"""How long anything may take; a server that needs longer hangs."""
_PAUSE_S: Final = 0.001
_PART_BYTES: Final = 65_536


def say(
    target: Target, pieces: Sequence[bytes], quiet_s: float = PATIENCE_S, *, in_turns: bool = False
) -> Heard:
    """Send the pieces, each as a segment of its own if it may be, and read to the end.

    Args:
        target: the server.
        pieces: what is sent.
        quiet_s: after so long without a byte the client goes on, and at last closes its half.
        in_turns: before each piece but the first, something must have come back.

    Raises:
        OSError: no connection was to be had.
    """
    with closing(socket.create_connection(target, PATIENCE_S)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(sock)
        line.send(pieces, quiet_s if in_turns else None)
        ending = line.hear(quiet_s)
        if ending is Ending.HUNG and quiet_s < PATIENCE_S:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            ending = line.hear(PATIENCE_S)
            ending = Ending.SILENCE if ending is Ending.CLOSED else ending
        return Heard(bytes(line.heard), ending or Ending.HUNG)


class _Line:
    def __init__(self, sock: socket.socket) -> None:
        self.heard = bytearray()
        self._sock = sock
        self._pause = Event()

    def send(self, pieces: Sequence[bytes], turn_s: float | None) -> None:
        """Send the pieces; between them wait for an answer, or for a moment."""
        with suppress(OSError):  # it has closed already; what it said is still there to be read
            for place, piece in enumerate(pieces):
                if place and turn_s is not None:
                    self.hear(turn_s, once=True)
                elif place:
                    self._pause.wait(_PAUSE_S)
                self._sock.settimeout(PATIENCE_S)
                self._sock.sendall(piece)

    def hear(self, quiet_s: float, *, once: bool = False) -> Ending | None:
        """Read to the end, or once; return how it ended, or None where it goes on."""
        self._sock.settimeout(quiet_s)
        while True:
            try:
                part = self._sock.recv(_PART_BYTES)
            except TimeoutError:
                return Ending.HUNG
            except OSError:
                return Ending.RESET
            if not part:
                return Ending.CLOSED
            self.heard += part
            if once:
                return None
