"""Who of a lane's clients asks for more than its fair share?

The fair share is the level ``L`` up to which everybody's demand can be met (max-min fairness,
Bertsekas and Gallager, "Data Networks", section 6.5.2):

    sum over clients of min(asked, L) = what was admitted

A client is *greedy* that asks for more than ``L`` and has had as much; the rest is for the others.
What it asks counts, not what it gets, so a client that floods stays greedy although it
is held back; that is the rule of Approximate Fair Dropping (Pan, Breslau, Prabhakar and Shenker,
"Approximate Fairness through Differential Dropping", 2003). Changed: nothing is dropped by lot.
A greedy client is only treated as one class lower (``guard.core.priority``), so it still gets
what nobody else wants, and nothing changes for anybody while the lane is not short.

Both figures are counts that fade: of an event ``t`` seconds ago ``exp(-t / 2 s)`` is left,
in steps of a period.
"More" is by three standard deviations of a count that size, ``3 * sqrt(L)``: a client whose
requests merely came close together is not greedy. Where all are, none is.

Memory is bounded as in Lossy Counting (Manku and Motwani, "Approximate Frequency Counts over Data
Streams", 2002): at the end of each period what has faded is forgotten, and where many are left, the
lighter ones. A flood of made-up names fills the table only until then.
"""

from __future__ import annotations

from math import exp, inf, sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MEMORY_S: Final = 2.0
"""Seconds after which 37 % of a request is left."""
PERIOD_S: Final = 0.05
"""How often the verdicts are made anew, seconds."""
CLIENTS_MAX: Final = 512
"""Clients that are counted; half of them are kept over the end of a period."""
FADED: Final = 0.05
"""A client of whom less is left is forgotten: a single request of six seconds ago."""
DEVIATIONS: Final = 3.0
NEARLY: Final = 0.99
"""So much of the level is as good as all: where one client has what the others leave, both are the
same number, but for rounding."""

NOBODY: Final[frozenset[str]] = frozenset()


def fair_level(asked: Iterable[float], total: float) -> float:
    """Return the level up to which everybody's demand can be met; ``inf`` where all of it can.

    Args:
        asked: what each client asks for, >= 0.
        total: what there is, >= 0, in the same unit.
    """
    demands = sorted(asked)
    left = total
    for number, demand in enumerate(demands):
        share = left / (len(demands) - number)
        if demand > share:
            return share
        left -= demand
    return inf


class Fairness:
    """The clients of one lane, and who of them is greedy. Not thread-safe.

    Attributes:
        greedy: the clients that asked for more than their fair share, as of the last period.
    """

    __slots__ = ("_admitted", "_asked", "_period_end_s", "_turned_s", "greedy")

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._admitted: dict[str, float] = {}
        self._turned_s = -inf
        self._period_end_s = -inf
        self.greedy = NOBODY

    def __len__(self) -> int:
        """Return how many clients are counted; at most ``CLIENTS_MAX``."""
        return len(self._asked)

    def count(self, client: str, now_s: float, *, admitted: bool) -> None:
        """Count one request.

        Args:
            client: who sent it; an empty text where nobody knows, which counts for nothing.
            now_s: the time; it never goes back.
            admitted: whether it was, or was shed.
        """
        if now_s >= self._period_end_s:
            self._turn(now_s)
        found = self._asked.get(client)
        if found is None:
            if not client or len(self._asked) >= CLIENTS_MAX:
                return
            found = self._admitted[client] = 0.0
        self._asked[client] = found + 1.0
        if admitted:
            self._admitted[client] += 1.0

    def _turn(self, now_s: float) -> None:
        left = exp((self._turned_s - now_s) / MEMORY_S)
        asked = {
            client: count * left for client, count in self._asked.items() if count * left >= FADED
        }
        if len(asked) > CLIENTS_MAX // 2:
            heaviest = sorted(asked, key=asked.__getitem__, reverse=True)[: CLIENTS_MAX // 2]
            asked = {client: asked[client] for client in heaviest}
        self._asked = asked
        self._admitted = {client: self._admitted[client] * left for client in asked}
        self._turned_s, self._period_end_s = now_s, now_s + PERIOD_S
        self.greedy = self._found_greedy()

    def _found_greedy(self) -> frozenset[str]:
        level = fair_level(self._asked.values(), sum(self._admitted.values()))
        if level == inf:
            return NOBODY
        more = level + DEVIATIONS * sqrt(level)
        greedy = frozenset(
            client
            for client, asked in self._asked.items()
            if asked > more and self._admitted[client] >= NEARLY * level
        )
        return NOBODY if len(greedy) == len(self._asked) else greedy
