"""What may be better than a refusal; asked where one is due, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.vocabulary import Reason
    from guard.problem import Response
    from guard.routing import Environ


def _none(_environ: Environ) -> None:
    return None


def _never(_environ: Environ, _reason: Reason, _age_s: float) -> bool:
    return False


class Relief(NamedTuple):
    """The ways out. Both are asked in the accept loop too and must not wait for anything.

    Attributes:
        takes: whether the request may go on in spite of the reason, since the application knows
            what to do when it finds no room; it is told the request's age in seconds too. Asked by
            the early gates; there must be a later one that decides again.
        spare: gives an answer in place of the refusal, or None.
        headers: names of the request headers that they look at.
    """

    takes: Callable[[Environ, Reason, float], bool] = _never
    spare: Callable[[Environ], Response | None] = _none
    headers: tuple[str, ...] = ()


NO_RELIEF = Relief()
