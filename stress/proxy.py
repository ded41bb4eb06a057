"""A TCP proxy on loopback whose connections can be made to fail: a bad network, to order.

``python -m stress.proxy PORT DELAY`` prints the port it listens on, forwards to PORT, takes one
fault a line on its standard input and repeats it once it is in force; the end of the input ends
it. A process of its own, so that it works in the same way whatever its user is busy with.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

HOST: Final = "127.0.0.1"
DELAY_S: Final = 0.2
"""How much later every piece arrives under ``Fault.DELAY``, seconds, where nothing else is said."""

_ROOT: Final = Path(__file__).resolve().parent.parent
_CHUNK_BYTES: Final = 65536
_STOP_S: Final = 5.0
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


class Proxy:
    """The proxy in its process. Use as a context manager; not thread-safe.

    Args:
        port: the TCP port on 127.0.0.1 to which it forwards.
        delay_s: how much later every piece arrives under ``Fault.DELAY``, seconds.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, port: int, delay_s: float = DELAY_S) -> None:
        self._upstream = port
        self._delay_s = delay_s
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            OSError: it ended at once.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stress.proxy", str(self._upstream), str(self._delay_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            # A Ctrl-C at the terminal is for its user alone.
            start_new_session=True,
        )
        try:
            self.port = int(self._answer(self._process))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

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
    def __init__(self, port: int, delay_s: float) -> None:
        self._upstream = port
        self._delay_s = delay_s
        self._fault = Fault.NONE
        self._open: set[StreamWriter] = set()

    def put(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.RESET:
            for writer in list(self._open):
                _reset(writer)

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
        back = asyncio.create_task(self._forward(server[0], client[1], link))
        try:
            await self._forward(client[0], server[1], link)
            server[1].close()
            await back
        finally:
            back.cancel()

    async def _forward(self, reader: StreamReader, writer: StreamWriter, link: _Link) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            link.torn = link.torn or self._fault is Fault.SWALLOW
            if link.torn:
                continue
            if self._fault is Fault.DELAY:
                await asyncio.sleep(self._delay_s)
            writer.write(piece)
            await writer.drain()
        link.torn = link.torn or self._fault is Fault.SWALLOW
        if not link.torn:
            writer.close()


def _reset(writer: StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


async def _run(port: int, delay_s: float) -> None:
    forwarder = _Forwarder(port, delay_s)
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
    asyncio.run(_run(int(sys.argv[1]), float(sys.argv[2])))
