"""The harness' Redis server, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from programs import program

from stress import redis_server

if TYPE_CHECKING:
    from pathlib import Path


class RedisServer(redis_server.RedisServer):
    """Starts at once; ``stop`` it in the end."""

    def __init__(self, folder: Path, *options: str) -> None:
        program("redis-server")
        super().__init__(folder, *options)
        self.start()
