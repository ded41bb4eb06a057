"""A real Redis server on a free port, that can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from breaker_world import PATIENCE_S
from programs import program

from service.postgres_process import free_port

if TYPE_CHECKING:
    import signal
    from pathlib import Path


class RedisServer:
    """Starts at once; ``stop`` it in the end."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._command = [
            program("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
            "--appendonly", "no", "--dir", str(folder), "--logfile", str(folder / "redis.log"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                assert time.monotonic() < end, "redis-server does not start"
                assert self._process.poll() is None, "redis-server has ended"
                os.sched_yield()
            else:
                return

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None
