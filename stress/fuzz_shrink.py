"""Makes failing input smaller. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def shrunk(
    pieces: list[bytes], fails: Callable[[list[bytes]], bool], tries_max: int
) -> list[bytes]:
    """Return the smallest input found that still fails; the given one where none smaller does.

    Leaves out halves, quarters and so on down to single bytes, as Zeller's and Hildebrandt's delta
    debugging does ("Simplifying and Isolating Failure-Inducing Input", 2002), after joining the
    pieces where that fails too.

    Args:
        pieces: input that fails.
        fails: whether other input does.
        tries_max: how often that is asked.
    """
    tries = 0
    best = pieces
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(best):
            if tries >= tries_max:
                return best
            tries += 1
            if fails(smaller):
                best, progress = smaller, True
                break
    return best


def _smaller(pieces: list[bytes]) -> Iterator[list[bytes]]:
    if len(pieces) > 1:
        yield [b"".join(pieces)]
        for place in range(len(pieces) - 1):
            joined = pieces[place] + pieces[place + 1]
            yield [*pieces[:place], joined, *pieces[place + 2 :]]
    size = max((len(piece) for piece in pieces), default=0)
    while size:
        for place, piece in enumerate(pieces):
            for at in range(0, len(piece), size):
                rest = piece[:at] + piece[at + size :]
                yield [*pieces[:place], *([rest] if rest else []), *pieces[place + 1 :]]
        size //= 2
