"""A TCP proxy on loopback whose connections can be made to fail: a bad network, to order.

``python -m stress.proxy PORT DELAY JITTER LOSS`` prints the port it listens on, forwards to PORT,
takes one fault a line on its standard input and repeats it once it is in force; the end of the
input ends it. A process of its own, so that it works in the same way
whatever its user is busy with.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from stress.children import let_end

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

HOST: Final = "127.0.0.1"
DELAY_S: Final = 0.2
"""How much later every piece arrives under ``Fault.DELAY``, seconds, where nothing else is said."""

_RETRANSMIT_S: Final = 0.2
_RETRANSMIT_MAX_S: Final = 2.0
_ROOT: Final = Path(__file__).resolve().parent.parent
_CHUNK_BYTES: Final = 65536
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What is wrong with the network."""

    NONE = "none"
    """Nothing."""
    SWALLOW = "swallow"
    """Connections are taken and stay open, and every byte disappears. A connection that has
    lost bytes stays dead for ever, as behind a firewall that has forgotten it."""
    RESET = "reset"
    """Every connection is reset, new ones too."""
    DELAY = "delay"
    """Every piece arrives later."""
    LOSS = "loss"
    """Some packets are lost, as a user of TCP sees it: nothing is missing, but a piece, and all
    behind it, waits until it was sent again, after 0.2 s, and after twice as long if that is lost
    too (RFC 6298; Linux' shortest time-out)."""
    HALF_OPEN = "half-open"
    """Connections that are open at that moment are dead for ever, and nobody is told; new ones
    live: the other side was replaced, or something between has forgotten them."""


class Quality(NamedTuple):
    """How bad the network is under the faults that have a degree.

    Attributes:
        delay_s: how much later every piece arrives under ``Fault.DELAY``, seconds.
        jitter_s: at most so much more, at random, seconds.
        loss_ratio: which share of the pieces is lost under ``Fault.LOSS``, 0 to below 1.
    """

    delay_s: float = DELAY_S
    jitter_s: float = 0.0
    loss_ratio: float = 0.05


_USUAL: Final = Quality()


class Proxy:
    """The proxy in its process. Use as a context manager; not thread-safe.

    Args:
        port: the TCP port on 127.0.0.1 to which it forwards.
        quality: how bad the network is under the faults that have a degree.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, port: int, quality: Quality = _USUAL) -> None:
        self._upstream = port
        self._quality = quality
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            OSError: it ended at once.
        """
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "stress.proxy", str(self._upstream),
                *map(str, self._quality),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            # A Ctrl-C at the terminal is for its user alone.
            start_new_session=True,
        )  # fmt: skip
        try:
            self.port = int(self._answer(self._process))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            let_end(process)

    def set(self, fault: Fault) -> None:
        """Put a fault in force, in place of the one before; returns when it is."""
        process = self._process
        if process is None or process.stdin is None:
            raise ValueError("the proxy is not running")
        process.stdin.write(f"{fault}\n")
        process.stdin.flush()
        self._answer(process)

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> str:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise OSError("the proxy has ended")
        return line.strip()


class _Link:
    """One connection through the proxy; ``torn`` once it has lost something."""

    torn = False


class _Forwarder:
    def __init__(self, port: int, quality: Quality) -> None:
        self._upstream = port
        self._quality = quality
        self._draw = random.Random(port)
        self._fault = Fault.NONE
        self._open: set[StreamWriter] = set()
        self._links: set[_Link] = set()

    def put(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.RESET:
            for writer in list(self._open):
                _reset(writer)
        if fault is Fault.HALF_OPEN:
            for link in self._links:
                link.torn = True

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Forward one connection until it ends."""
        writers = [writer]
        self._open.add(writer)
        try:
            if self._fault is Fault.RESET:
                _reset(writer)
            elif self._fault is Fault.SWALLOW:
                while await reader.read(_CHUNK_BYTES):
                    pass
            else:
                upstream, to_upstream = await asyncio.open_connection(HOST, self._upstream)
                writers.append(to_upstream)
                self._open.add(to_upstream)
                await self._exchange((reader, writer), (upstream, to_upstream))
        except OSError:
            # One side has gone; the other shall know.
            for each in writers:
                _reset(each)
        finally:
            for each in writers:
                self._open.discard(each)
                each.close()

    async def _exchange(
        self, client: tuple[StreamReader, StreamWriter], server: tuple[StreamReader, StreamWriter]
    ) -> None:
        link = _Link()
        self._links.add(link)
        back = asyncio.create_task(self._forward(server[0], client[1], link))
        try:
            await self._forward(client[0], server[1], link)
            server[1].close()
            await back
        finally:
            self._links.discard(link)
            back.cancel()

    async def _forward(self, reader: StreamReader, writer: StreamWriter, link: _Link) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            link.torn = link.torn or self._fault is Fault.SWALLOW
            await asyncio.sleep(self._late_s())
            # It may have been torn meanwhile.
            if not link.torn:
                writer.write(piece)
                await writer.drain()
        link.torn = link.torn or self._fault is Fault.SWALLOW
        if not link.torn:
            writer.close()

    def _late_s(self) -> float:
        delay_s, jitter_s, loss_ratio = self._quality
        if self._fault is Fault.DELAY:
            return delay_s + self._draw.uniform(0.0, jitter_s)
        late_s, again_s = 0.0, _RETRANSMIT_S
        while self._fault is Fault.LOSS and self._draw.random() < loss_ratio:
            late_s += again_s
            again_s = min(2 * again_s, _RETRANSMIT_MAX_S)
        return late_s


def _reset(writer: StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


async def _run(port: int, quality: Quality) -> None:
    forwarder = _Forwarder(port, quality)
    server = await asyncio.start_server(forwarder.serve, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        fault = Fault(line.decode().strip())
        forwarder.put(fault)
        print(fault, flush=True)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), Quality(*map(float, sys.argv[2:]))))
