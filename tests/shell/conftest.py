from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.request import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from database_world import World

    from guard.core.vocabulary import Lane
    from guard.request import RequestScope

    Begin = Callable[..., RequestScope]


@pytest.fixture
def request_of() -> Iterator[Begin]:
    """Begin a request in this thread and end it after the test."""
    scopes = []

    def begin(world: World, lane: Lane | None = None) -> RequestScope:
        scope = world.controller.scope(lane)
        scopes.append(scope)
        CURRENT.set(scope)
        return scope

    yield begin
    CURRENT.set(None)
    for scope in scopes:
        scope.release()
