"""One computation per key at a time; whoever asks meanwhile waits for it."""

from __future__ import annotations

from threading import Event, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.cache.entry import Entry


class Flight:
    """One computation under way, and what came of it."""

    __slots__ = ("_entry", "_landed")

    def __init__(self) -> None:
        self._landed = Event()
        self._entry: Entry | None = None

    def land(self, entry: Entry | None) -> None:
        """Give what was computed to all who wait; None where it can't be shared."""
        self._entry = entry
        self._landed.set()

    def wait(self, most_s: float) -> Entry | None:
        """Return what was computed, or None where it can't be shared or took too long."""
        self._landed.wait(most_s)
        return self._entry


class Flights:
    """The computations of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_key: dict[str, Flight] = {}

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the flight for ``key``, and whether the caller is the one to compute.

        Who is must call ``land`` with the same flight in the end.
        """
        with self._lock:
            flight = self._by_key.get(key)
            if flight is not None:
                return flight, False
            flight = self._by_key[key] = Flight()
            return flight, True

    def land(self, key: str, flight: Flight, entry: Entry | None) -> None:
        """End a flight; whoever comes after this begins another."""
        self.forget((key,), only=flight)
        flight.land(entry)

    def forget(self, keys: Iterable[str], only: Flight | None = None) -> None:
        """Let nobody join the flights of some keys any more; those who wait go on to.

        What they get was asked for before whatever has changed, so it may be older than that.
        """
        with self._lock:
            for key in keys:
                if only is None or self._by_key.get(key) is only:
                    self._by_key.pop(key, None)
