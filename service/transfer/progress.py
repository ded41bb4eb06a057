"""How far a long piece of work is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_WIDTH: Final = 30
_BAR_S: Final = 0.2
_LINE_S: Final = 5.0
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Tells of one step after the other. Not thread-safe.

    Args:
        out: where to; a bar is drawn only on a terminal.
        now_s: a monotonic clock, seconds.
    """

    def __init__(self, out: TextIO, now_s: Callable[[], float]) -> None:
        self._out = out
        self._now_s = now_s
        self._is_terminal = out.isatty()
        self._every_s = _BAR_S if self._is_terminal else _LINE_S
        self._told_s = float("-inf")

    def step(self, text: str) -> None:
        """Tell of something that has no length, or has ended."""
        self._write(f"{text}\n")
        self._told_s = float("-inf")

    def at(self, label: str, done: int, total: int) -> None:
        """Tell how much of ``total`` (>= 0) is done, not too often."""
        now_s = self._now_s()
        if now_s - self._told_s < self._every_s:
            return
        self._told_s = now_s
        share = done / total if total else 1.0
        figures = f"{label}: {done:,} of {total:,} ({share:.0%})"
        if self._is_terminal:
            filled = int(share * _WIDTH)
            self._write(f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {figures}")
        else:
            self._write(f"{figures}\n")

    def _write(self, text: str) -> None:
        self._out.write(f"{_CLEAR if self._is_terminal else ''}{text}")
        self._out.flush()
