"""A TCP proxy that hands on every byte and notes when a client tried, and what it was told."""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = re.compile(rb"\AHTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.MULTILINE | re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"^Retry-After: (.*)\r$", re.MULTILINE)


@dataclass
class Try:
    """One request and its answer.

    Attributes:
        connection: the number of its connection, from 1.
        asked_s: when the request came, monotonic.
        answered_s: when the answer came.
        status: the answer's status; 0 while there is none.
        retry_after: the header as it was sent; empty where there was none.
    """

    connection: int
    asked_s: float
    answered_s: float = 0.0
    status: int = 0
    retry_after: str = ""


@dataclass
class Record:
    """What one client did; its requests come one after the other.

    Attributes:
        url: where the client finds the proxy.
        tries: every request so far.
    """

    url: str
    tries: list[Try] = field(default_factory=list)

    @property
    def refusals(self) -> list[Try]:
        return [one for one in self.tries if one.status == 503]

    def told_and_waited_s(self) -> list[tuple[str, float]]:
        """Return for each refusal that was followed by a request what was told and was done.

        A try without any answer, since its connection was lost, is no refusal.
        """
        pairs = zip(self.tries, self.tries[1:], strict=False)
        return [(one.retry_after, two.asked_s - one.answered_s) for one, two in pairs if one.status]


@contextmanager
def recording(upstream_port: int) -> Iterator[Record]:
    """Listen on a port of its own over the block, in front of one on loopback."""
    numbers = count(1)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            address = ("127.0.0.1", upstream_port)
            with socket.create_connection(address) as server:
                _hand_on(self.request, server, next(numbers), record.tries)

    # Clients that keep their connection keep a thread here: nobody waits for it.
    ThreadingTCPServer.daemon_threads = True
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        record = Record(f"http://127.0.0.1:{proxy.server_address[1]}")
        serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield record
        finally:
            proxy.shutdown()
            serving.join()


def _hand_on(client: socket.socket, server: socket.socket, number: int, tries: list[Try]) -> None:
    request = b""
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, client)
        ready.register(server, selectors.EVENT_READ, server)
        while True:
            for key, _ in ready.select():
                source: socket.socket = key.data
                data = source.recv(65536)
                if not data:
                    return
                if source is server:
                    _note_answer(data, tries)
                    client.sendall(data)
                    continue
                # As a whole, so that it is the client alone who keeps the connection or not.
                request += data
                if _is_whole(request):
                    tries.append(Try(number, time.monotonic()))
                    server.sendall(request)
                    request = b""


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + end)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def _note_answer(data: bytes, tries: list[Try]) -> None:
    status = _STATUS.match(data)
    if status is not None:
        told = _RETRY_AFTER.search(data)
        tries[-1].answered_s, tries[-1].status = time.monotonic(), int(status[1])
        tries[-1].retry_after = told[1].decode() if told else ""
