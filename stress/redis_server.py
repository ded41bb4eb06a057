"""A Redis of one's own on a free port of the loopback, that can be killed and started again."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from guard.redis_client import connect
from service.postgres_process import free_port
from stress.server import ServerError

if TYPE_CHECKING:
    import signal
    from pathlib import Path

DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")
"""Options with which an answered command is on disk."""
FLEETING: Final = ("--appendonly", "no")

_PATIENCE_S: Final = 60.0
_TICK_S: Final = 0.02


class RedisServer:
    """A server; use as a context manager, or ``start`` and ``stop`` it. Not thread-safe.

    Args:
        folder: where its files go.
        options: more of its command line.

    Attributes:
        port: where it listens.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._command = [
            "redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
            "--dir", str(folder), "--logfile", str(folder / "redis.log"), *(options or FLEETING),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, for settings."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers, which is when it has read its files.

        Raises:
            ServerError: it is not installed, has ended, or does not answer.
        """
        program = shutil.which(self._command[0])
        if program is None:
            raise ServerError("redis-server is not installed")
        self._process = subprocess.Popen([program, *self._command[1:]])
        client, tick, until_s = connect(self.url, 1.0), Event(), monotonic() + _PATIENCE_S
        try:
            while monotonic() < until_s and self._process.poll() is None:
                with suppress(Exception):
                    client.ping()
                    return
                tick.wait(_TICK_S)
        finally:
            client.close()
        self.stop()
        raise ServerError("redis-server does not answer")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it by SIGKILL. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE_S)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
