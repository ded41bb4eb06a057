"""How many clients were promised each coming second, by whom: 64 seconds, one word per writer.

In the ring the words of all writers for one second lie side by side, and a word counts each
quarter of the second apart:

    second s   -> | writer 0 | writer 1 | ... |      at (s mod 64) * writers
    second s+1 -> | writer 0 | writer 1 | ... |

    word       -> | lap: 16 bits | quarter 3: 12 bits | quarter 2 | quarter 1 | quarter 0 |

``lap`` is ``s // 64``, so a second and its counts are read and written as one, and what an older
second has left behind is seen to be stale: nothing is ever wiped. (The lap comes round after 48
days; a word that old which nobody has written since would count once more.) A count stays at its
largest value, 4,095.

Each writer changes its own words alone, and every reader sums a second's words. A writer that
dies leaves its promises standing: its clients have been told, and they will come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence

SECONDS = 64
"""Seconds that a ring holds; more than the longest Retry-After."""
QUARTERS = 4
"""Parts of a second that are counted apart."""
COUNT_MAX = (1 << 12) - 1
"""The largest count that a word holds."""

_LAP_AT = 48
_LAP = (1 << 16) - 1
_SHIFTS = (0, 12, 24, 36)


def words_for(writers: int) -> int:
    """Return how many words a ring takes."""
    return SECONDS * writers


class PromiseRing:
    """One writer's view of a ring. Not thread-safe; other processes may write their own words.

    Times are whole seconds >= 0, those of all writers within 64 of one another.

    Args:
        words: ``words_for(writers)`` unsigned words of 64 bits: a list, or a memoryview that
            processes share.
        writers: how many share the ring.
        writer: which of them this one is, from 0.
    """

    __slots__ = ("_words", "_writer", "_writers")

    def __init__(self, words: MutableSequence[int] | memoryview, writers: int, writer: int) -> None:
        self._words = words
        self._writers = writers
        self._writer = writer

    def promised(self, second: int) -> int:
        """Return the promises of all writers for a second."""
        return self.counts(second, 0)[0]

    def counts(self, second: int, quarter: int) -> tuple[int, int]:
        """Return the promises of all writers for a second, and for one quarter of it.

        Args:
            second: which.
            quarter: 0 to 3.
        """
        at, lap, shift = second % SECONDS * self._writers, second // SECONDS & _LAP, 12 * quarter
        total = within = 0
        for word in self._words[at : at + self._writers]:
            if word and word >> _LAP_AT == lap:
                total += _sum(word)
                within += word >> shift & COUNT_MAX
        return total, within

    def own(self, second: int) -> int:
        """Return this writer's promises for a second."""
        word = self._words[second % SECONDS * self._writers + self._writer]
        return _sum(word) if word >> _LAP_AT == second // SECONDS & _LAP else 0

    def promise(self, second: int, quarter: int) -> None:
        """Count one more promise of this writer."""
        at, lap = second % SECONDS * self._writers + self._writer, second // SECONDS & _LAP
        word = self._words[at]
        if word >> _LAP_AT != lap:
            word = lap << _LAP_AT
        if word >> _SHIFTS[quarter] & COUNT_MAX < COUNT_MAX:
            # One store, so a reader sees all of it or nothing, and so does a kill.
            self._words[at] = word + (1 << _SHIFTS[quarter])

    def detach(self) -> None:
        """Go on with a copy that nobody shares."""
        self._words = list(self._words)


def _sum(word: int) -> int:
    return (
        (word & COUNT_MAX)
        + (word >> 12 & COUNT_MAX)
        + (word >> 24 & COUNT_MAX)
        + (word >> 36 & COUNT_MAX)
    )
