"""Keeps answers in this process: bounded, the least recently used go first. The one cachetools."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from cachetools import LRUCache

from guard.cache.entry import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.cache.entry import Entry


class MemoryStore:
    """A worker's own answers. Thread-safe; no call waits for anything.

    Args:
        entries_max: most answers that are kept.
        lifetime_s: how long one is kept, seconds.
        now_s: the monotonic clock.

    Attributes:
        drops: how often a write has dropped something.
    """

    def __init__(self, entries_max: int, lifetime_s: float, now_s: Callable[[], float]) -> None:
        self._lifetime_s = lifetime_s
        self._now_s = now_s
        self._lock = Lock()
        self.drops = 0
        # Guarded by the lock: the entries and when each was computed; who may put what.
        self._kept: LRUCache[str, tuple[Entry, float]] = LRUCache(entries_max)
        self._leases: dict[str, object] = {}

    def get(self, key: str) -> Found | None:
        """Return what is kept under ``key``, however old, within the lifetime."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            return None
        age_s = self._now_s() - kept[1]
        return Found(kept[0], age_s) if age_s < self._lifetime_s else None

    at_hand = get

    def lease(self, key: str) -> object:
        """Return the right to put what is computed from now on; ``forget`` ends it."""
        lease = object()
        with self._lock:
            self._leases[key] = lease
        return lease

    def put(self, key: str, entry: Entry | None, lease: object) -> None:
        """Keep what was computed since ``lease``, unless that has ended; None keeps nothing."""
        with self._lock:
            if self._leases.get(key) is not lease:
                return
            del self._leases[key]
            if entry is not None:
                self._kept[key] = (entry, self._now_s())

    def copy(self, key: str, found: Found, drops: int) -> None:
        """Keep what was found elsewhere, at the age that it has.

        Args:
            key: its name.
            found: what was found.
            drops: ``drops`` before it was looked for; where something was dropped since, that may
                have been this, and nothing is kept.
        """
        with self._lock:
            if self.drops != drops:
                return
            self._kept[key] = (found.entry, self._now_s() - found.age_s)

    def discard(self, key: str) -> None:
        """Drop a copy of what is not found there any more, which no write of this worker says."""
        with self._lock:
            self._kept.pop(key, None)

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is kept, and what is being computed, under some keys."""
        with self._lock:
            self.drops += 1
            for key in keys:
                self._kept.pop(key, None)
                self._leases.pop(key, None)

    def close(self) -> None:
        """Do nothing: there is no connection."""
