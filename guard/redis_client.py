"""Connections to Redis. The only place that imports redis."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, timeout_s: float, *, texts: bool = False) -> Redis:
    """Return a client that connects at first use, and again whenever the connection was lost.

    It never tries a command twice: who calls it knows better whether that is right.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout_s: longest time for a connection, and for an answer, seconds.
        texts: whether answers are texts; bytes otherwise.

    Raises:
        ValueError: the URL can't be read.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": texts,
    }
    client: Redis = Redis.from_url(url, **options)
    return client
