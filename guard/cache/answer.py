"""An application's answer, taken in before any of it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.cache.entry import BODY_MAX_BYTES, Entry, entry_of, may_be_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Answer:
    """What an application answers. Used by one thread.

    Attributes:
        status: the status line.
    """

    def __init__(self) -> None:
        self.status = ""
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._rest: _Rest | None = None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        """Take status and headers; the application's ``start_response``."""
        del exc_info  # nothing has been sent, so the later answer just replaces the earlier one
        self.status, self._headers = status, headers
        return self._chunks.append

    def take(self, body: Iterable[bytes]) -> None:
        """Take the body in and close it; one that is too long only begins to be taken."""
        rest = _Rest(body)
        size_bytes = sum(map(len, self._chunks))
        try:
            for chunk in rest:
                self._chunks.append(chunk)
                size_bytes += len(chunk)
                if size_bytes > BODY_MAX_BYTES:
                    self._rest, rest = rest, _Rest(())
                    return
        finally:
            rest.close()

    def entry(self, route: str) -> Entry | None:
        """Return what may be kept of it; None where nothing may."""
        if self._rest is not None or not may_be_kept(self.status, self._headers):
            return None
        return entry_of(self._headers, b"".join(self._chunks), route)

    def give(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send it, as it was."""
        start_response(self.status, self._headers)
        if self._rest is None:
            return [b"".join(self._chunks)]
        self._rest.put_back(self._chunks)
        return self._rest


class _Rest:
    """What is left of a body, and its ``close``."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._before: Iterator[bytes] = iter(())

    def put_back(self, chunks: list[bytes]) -> None:
        """Give these once more, before the others."""
        self._before = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._before, None)
        if chunk is not None:
            return chunk
        if self._iterator is None:
            self._iterator = iter(self._body)
        return next(self._iterator)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
