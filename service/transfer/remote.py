"""In the copying command: a source that is read through the service that owns the file."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from service.transfer.rows import Digest
from service.transfer.source import Extent, Piece, TransferError
from service.transfer.wire import WireError, receive, receive_bytes, send, socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRWPair as Stream
    from pathlib import Path

_CONNECT_S: Final = 5.0


class RemoteSource:
    """Implements ``Served``. Not thread-safe.

    Args:
        stream: to a ``CopyServer``.
        name: see ``Source``.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self.name = name

    def extent(self) -> Extent:
        """See ``Source``."""
        return Extent(*self._ask("extent")[0])

    def warriors(self, first_row: int, end_row: int) -> Piece:
        """See ``Source``."""
        return _piece(*self._ask("warriors", first_row, end_row))

    def keys(self, since_s: int, after_key: str, most: int) -> Piece:
        """See ``Source``."""
        return _piece(*self._ask("keys", since_s, after_key, most))

    def whole(self, end_row: int, since_s: int, before_s: int) -> tuple[Digest, Digest]:
        """See ``Source``."""
        warriors, keys = self._ask("whole", end_row, since_s, before_s)[0]
        return Digest(*warriors), Digest(*keys)

    def counts(self, since_s: int) -> tuple[int, int]:
        """See ``Source``."""
        warriors, keys = self._ask("counts", since_s)[0]
        return warriors, keys

    def shut(self) -> None:
        """See ``Served``."""
        self._ask("shut")

    def mark_moved(self, to: str) -> None:
        """See ``Served``."""
        self._ask("mark_moved", to)

    def _ask(self, name: str, *arguments: object) -> tuple[Any, bytes]:
        try:
            send(self._stream, [name, *arguments])
            answer = receive(self._stream)
            if "error" in answer:
                raise TransferError(f"the service says: {answer['error']}")
            return answer["value"], receive_bytes(self._stream, answer["bytes"])
        except WireError as error:
            raise TransferError(
                f"the service has gone while it was asked for {name}: {error}"
            ) from error


def _piece(value: Any, text: bytes) -> Piece:  # noqa: ANN401 - JSON
    rows, digest, last_key = value
    return Piece(text, Digest(rows, digest), last_key)


@contextmanager
def ask_owner(database: Path) -> Iterator[RemoteSource]:
    """Talk to the service that owns a database file, over the block.

    Raises:
        TransferError: none answers.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(socket_path(database))
        except OSError as error:
            raise TransferError(
                f"no service answers for {database} ({error.strerror or error}); is it running, "
                "and as this account?"
            ) from error
        connection.settimeout(None)
        stream = connection.makefile("rwb")
        try:
            yield RemoteSource(stream, str(database))
        finally:
            # A question that could not be sent is still in it, and nobody is there to hear it.
            with suppress(OSError):
                stream.close()
