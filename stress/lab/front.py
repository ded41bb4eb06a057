"""Stands in for a proxy with a limit of connections where nginx is not installed.

``python -m stress.lab.front PORT LIMIT`` prints the port it listens on, forwards to PORT, and
refuses whoever comes while LIMIT others are inside; the end of its standard input ends it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from stress.children import let_end
from stress.server import HOST, ROOT
from stress.shots import Target

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
_CHUNK_BYTES: Final = 65_536


class Front:
    """The stand-in, in a process of its own. Use as a context manager; not thread-safe.

    Args:
        limit: requests that may be inside at the same time, >= 1.
        service: what is behind it.

    Attributes:
        target: where it listens.
    """

    def __init__(self, limit: int, service: Target) -> None:
        self._limit = limit
        self._service = service
        self._process: subprocess.Popen[str] | None = None
        self.target = Target(HOST, 0)

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            OSError: it ended at once.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._service.port), str(self._limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self._process = process
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            self.__exit__()
            raise OSError("the stand-in for nginx has ended")
        self.target = Target(HOST, int(line))
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            let_end(process)


class _Gate:
    def __init__(self, port: int, limit: int) -> None:
        self._port = port
        self._limit = limit
        self._inside = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Let one connection in, or refuse it."""
        with suppress(OSError):
            if self._inside >= self._limit:
                await reader.read(_CHUNK_BYTES)
                writer.write(_REFUSAL)
                await writer.drain()
            else:
                await self._let_in(reader, writer)
        writer.close()

    async def _let_in(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._inside += 1
        try:
            back, onward = await asyncio.open_connection(HOST, self._port)
            to = asyncio.create_task(_forward(reader, onward))
            try:
                await _forward(back, writer)
            finally:
                to.cancel()
                onward.close()
        finally:
            self._inside -= 1


async def _forward(reader: StreamReader, writer: StreamWriter) -> None:
    while piece := await reader.read(_CHUNK_BYTES):
        writer.write(piece)
        await writer.drain()


async def _run(port: int, limit: int) -> None:
    server = await asyncio.start_server(_Gate(port, limit).serve, HOST, 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2])))
