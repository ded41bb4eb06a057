"""The hosts' bulletin on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.breaker.exchange import News
from guard.redis_client import connect

if TYPE_CHECKING:
    from guard.core.vocabulary import Lane

TIMEOUT_S: Final = 1.0
"""Longest time for a connection and for an answer, seconds."""
_PARTS: Final = 3


class RedisBulletin:
    """One key for each lane, ``<prefix>:breaker:<lane>``, holding ``<word> <host> <outage>``.

    Connects at first use, and again whenever the connection was lost.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        prefix: the begin of the keys.

    Raises:
        ValueError: the URL can't be read.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        # The next round is the retry.
        self._redis = connect(url, TIMEOUT_S, texts=True)

    def read(self, lane: Lane) -> News | None:
        """Return the last news that has not ended; None too where it can't be understood."""
        parts = str(self._redis.get(self._key(lane)) or "").split()
        if len(parts) != _PARTS or not parts[2].isdecimal():
            return None
        return News(parts[0], parts[1], int(parts[2]))

    def put(self, lane: Lane, news: News, ends_s: float) -> None:
        """Leave news that ends after that many seconds."""
        text = f"{news.word} {news.host} {news.outage}"
        self._redis.set(self._key(lane), text, px=round(ends_s * 1000))

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()

    def _key(self, lane: Lane) -> str:
        return f"{self._prefix}:breaker:{lane.value}"
