"""How much processor time the rest of the machine took while something was measured."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CORES: Final = 0.35
"""With more than that a measurement tells of the machine's other work, too."""

_STAT: Final = Path("/proc/stat")
_WORKING: Final = (0, 1, 2, 7)
"""User, nice, system and stolen time. Interrupts are nobody's; guests are in user already."""


def busy_s(stat: str) -> float:
    """Return the processor time that all processes have used since the machine's start, seconds.

    Args:
        stat: the text of ``/proc/stat``; proc(5) tells its columns.
    """
    ticks = list(map(int, stat.split("\n", 1)[0].split()[1:]))
    return sum(ticks[column] for column in _WORKING) / os.sysconf("SC_CLK_TCK")


class OtherWork:
    """Watches from its making on.

    Args:
        own_s: tells the processor time that what is measured has used itself, seconds.
    """

    def __init__(self, own_s: Callable[[], float]) -> None:
        self._own_s = own_s
        self._began_s, self._before_s = monotonic(), self._others_s()

    def _others_s(self) -> float:
        return busy_s(_STAT.read_text()) - self._own_s()

    def cores(self) -> float:
        """Return how many cores other processes have used since, on the average, >= 0."""
        took_s = max(1e-9, monotonic() - self._began_s)
        return max(0.0, (self._others_s() - self._before_s) / took_s)
