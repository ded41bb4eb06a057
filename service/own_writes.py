"""Lets a client read what it has written, although reads go to replicas.

A response to a write carries a cookie with the write's place in the log; a request that brings it
is read for on a server that has come so far. See docs/postgres.md.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from flask import request

from guard.clock import wall_s
from guard.core.mark_token import position_in, signed
from guard.request import CURRENT, Mark

if TYPE_CHECKING:
    from flask import Flask, Response

    from guard.settings import Settings

COOKIE: Final = "warriors-seen"

_MARGIN_S: Final = 5


def install(app: Flask, settings: Settings) -> None:
    """Give each request its client's mark; nothing where ``GUARD_READ_YOUR_WRITES_KEY`` is empty.

    Args:
        app: the application, inside the guard.
        settings: checked settings.
    """
    key = settings.read_your_writes_key
    if not key:
        return
    # A replica that is further behind is not read from, so an older mark says nothing.
    age_max_s = ceil(settings.replica_lag_max_s) + _MARGIN_S

    def bring() -> None:
        scope, token = CURRENT.get(), request.cookies.get(COOKIE, "")
        if scope is not None:
            scope.mark = Mark(position_in(token, key, wall_s(), age_max_s) if token else 0)

    def take_along(response: Response) -> Response:
        mark = getattr(CURRENT.get(), "mark", None)
        if mark is not None and mark.moved:
            response.set_cookie(
                COOKIE, signed(mark.position, key, wall_s()),
                max_age=age_max_s, httponly=True, samesite="Lax",
            )  # fmt: skip
        return response

    app.before_request(bring)
    app.after_request(take_along)
