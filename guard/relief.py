"""What may be better than a refusal; asked where one is due, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.problem import Response
    from guard.routing import Environ


def _none(_environ: Environ) -> None:
    return None


class Relief(NamedTuple):
    """The ways out. Both are asked in the accept loop too and must not wait for anything.

    Attributes:
        spare: gives an answer in place of the refusal, or None.
        headers: names of the request headers that it looks at.
    """

    spare: Callable[[Environ], Response | None] = _none
    headers: tuple[str, ...] = ()


NO_RELIEF = Relief()
