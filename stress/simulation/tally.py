"""What became of all tries: sent = answered + shed + failed + waiting."""

from __future__ import annotations

from array import array
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.simulation.clients import Try

SHED: Final = -1.0
FAILED: Final = -2.0


class Tally:
    """Counts tries, and keeps when each was sent and how it ended. Not thread-safe.

    Attributes:
        answered: tries whose answer was heard.
        shed: tries that were refused.
        failed: tries that ended in an error, or were given up.
    """

    __slots__ = ("_ends", "_sent", "answered", "failed", "shed")

    def __init__(self) -> None:
        self.answered = self.shed = self.failed = 0
        self._sent = array("d")
        # Time of the end, latency (or one of the constants), time of the request's first try.
        self._ends = array("d")

    @property
    def sent(self) -> int:
        """Tries altogether."""
        return len(self._sent)

    @property
    def waiting(self) -> int:
        """Tries that have not ended."""
        return self.sent - self.answered - self.shed - self.failed

    def send(self, now_s: float) -> None:
        """Count one that is sent."""
        self._sent.append(now_s)

    def answer(self, one: Try, now_s: float) -> None:
        """Count one that is answered."""
        self.answered += 1
        self._ends.extend((now_s, now_s - one.sent_s, one.first_s))

    def refuse(self, one: Try, now_s: float) -> None:
        """Count one that is refused."""
        self.shed += 1
        self._ends.extend((now_s, SHED, one.first_s))

    def fail(self, one: Try, now_s: float) -> None:
        """Count one that failed, or was given up."""
        self.failed += 1
        self._ends.extend((now_s, FAILED, one.first_s))

    def sent_s(self) -> Iterator[float]:
        """Yield when each try was sent."""
        return iter(self._sent)

    def answers(self) -> Iterator[tuple[float, float, float]]:
        """Yield time, latency and the request's first time for each try that was answered."""
        return (end for end in self.ends() if end[1] >= 0)

    def ends(self) -> Iterator[tuple[float, float, float]]:
        """Yield the same for all, with ``SHED`` or ``FAILED`` for the latency."""
        flat = iter(self._ends)
        return zip(flat, flat, flat, strict=True)

    def digest(self) -> str:
        """Return a hash of everything that happened; equal runs have equal ones."""
        return sha256(self._sent.tobytes() + self._ends.tobytes()).hexdigest()[:16]
