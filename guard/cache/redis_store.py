"""Keeps answers in Redis, for all workers and hosts; does without where it is away or slow."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from guard import metrics
from guard.cache.entry import Found, from_bytes, to_bytes
from guard.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.cache.entry import Entry
    from guard.cache.memory_store import MemoryStore
    from guard.events import Recorder

T = TypeVar("T")

TIMEOUT_S: Final = 0.05
"""Longest time for a connection and for an answer, seconds: one slow request per pause."""
LEASE_S: Final = 10.0
"""After this long nobody may keep what he has computed: he was killed, or is late, seconds."""

# One step in Redis, so that a write that comes in between finds either the lease or the answer.
_PUT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""

log = logging.getLogger("guard.cache")


class RedisStore:
    """All hosts' answers. Thread-safe; a call waits at most ``TIMEOUT_S``, and raises nothing.

    An entry's age is reckoned from what is left of its lifetime by Redis' own clock, so the hosts'
    clocks may differ. The right to put (a *lease*) lies in Redis too: who computes while a write of
    any host changes what he reads loses it, and what he has read is not kept. Two hosts may
    compute the same at the same time; the one that asked first keeps it.

    Args:
        redis: the client, for bytes.
        prefix: the begin of the keys.
        lifetime_s: how long an answer is kept, seconds.
        near: this worker's copies, for where nobody may wait, not even for Redis.
        now_s: the monotonic clock.
        recorder: takes whether Redis answers.
    """

    def __init__(
        self,
        redis: Any,  # noqa: ANN401 - redis-py's answers are typed for both its worlds at once
        prefix: str,
        lifetime_s: float,
        near: MemoryStore,
        now_s: Callable[[], float],
        recorder: Recorder,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lifetime_ms = round(lifetime_s * 1000)
        self._near = near
        self._now_s = now_s
        self._record = recorder
        self._pause = Pause()
        self._up: bool | None = None
        self._put = redis.register_script(_PUT)
        self.at_hand = near.get

    def get(self, key: str) -> Found | None:
        """Return what is kept under ``key`` by any host; None too while Redis is away."""
        name, drops = self._name(key), self._near.drops
        answer = self._asked(lambda: self._look(name))
        if answer is None:
            return None
        raw, left_ms = answer
        entry = from_bytes(raw) if raw is not None else None
        if entry is None or left_ms <= 0:
            # Another host's write may have dropped it.
            self._near.discard(key)
            return None
        found = Found(entry, max(0, self._lifetime_ms - left_ms) / 1000)
        self._near.copy(key, found, drops)
        return found

    def _look(self, name: str) -> tuple[bytes | None, int]:
        raw, left_ms = self._redis.pipeline(transaction=False).get(name).pttl(name).execute()
        return raw, left_ms

    def lease(self, key: str) -> object:
        """Return the right to put what is computed from now on; None where there is none."""
        token = uuid4().hex
        name = self._lease_name(key)
        got = self._asked(lambda: self._redis.set(name, token, nx=True, px=round(LEASE_S * 1000)))
        return token if got else None

    def put(self, key: str, entry: Entry | None, lease: object) -> None:
        """Keep what was computed since ``lease``, unless that has ended; None keeps nothing."""
        if lease is None:
            return
        name, raw = self._name(key), b"" if entry is None else to_bytes(entry)
        drops = self._near.drops
        keys, values = [name, self._lease_name(key)], [lease, raw, self._lifetime_ms]
        kept = self._asked(lambda: self._put(keys=keys, args=values))
        if kept and entry is not None:
            self._near.copy(key, Found(entry, 0.0), drops)

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is kept, and what is being computed, under some keys.

        Where Redis can't be told, other hosts go on with what they have until its time is over.
        """
        dropped = list(keys)
        self._near.forget(dropped)
        names = [self._name(key) for key in dropped]
        if names:
            self._asked(lambda: self._redis.delete(*names, *map(self._lease_name, dropped)))
            # And what another thread has copied before Redis had dropped it.
            self._near.forget(dropped)

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:cache:{key}"

    def _lease_name(self, key: str) -> str:
        # Clients choose a part of the keys: no key's name may be that of another's lease.
        return f"{self._prefix}:lease:{key}"

    def _asked(self, ask: Callable[[], T]) -> T | None:
        if not self._pause.over(self._now_s()):
            return None
        try:
            answer = ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no cache now
            self._pause.failed(self._now_s())
            self._record.add(metrics.CACHE_STORE_ERRORS)
            self._note(up=False, why=error)
            return None
        self._pause.answered()
        self._note(up=True)
        return answer

    def _note(self, *, up: bool, why: Exception | None = None) -> None:
        # Threads race here: the worst is the same line twice.
        if up is self._up:
            return
        self._up = up
        self._record.set(metrics.CACHE_STORE_UP, (), float(up))
        if up:
            log.info("answers are kept in Redis")
        else:
            log.warning("Redis is away, nothing is taken from the cache: %s", why)
