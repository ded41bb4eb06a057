"""The cookie by which a client reads its own writes from replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from guard.clock import wall_s
from guard.core.mark_token import position_in, signed
from guard.request import CURRENT, Mark, RequestScope
from guard.settings import load
from service import own_writes
from service.own_writes import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sixteen-letters-or-more"
SETTINGS = replace(load({}).settings, read_your_writes_key=KEY, replica_lag_max_s=2.0)


@pytest.fixture
def seen() -> list[Mark | None]:
    """The marks that the handlers found."""
    return []


@pytest.fixture
def app(seen: list[Mark | None]) -> Iterator[Flask]:
    """An application inside a guard's request, whose PUT writes at position 77."""
    app = Flask("own-writes")
    own_writes.install(app, SETTINGS)

    @app.get("/")
    def read() -> str:
        seen.append(CURRENT.get().mark)
        return ""

    @app.put("/")
    def write() -> str:
        CURRENT.get().mark.move(77)
        return ""

    token = CURRENT.set(RequestScope(None, 0.0, 9.0))
    yield app
    CURRENT.reset(token)


def test_who_has_written_brings_it_back(app: Flask, seen: list[Mark]) -> None:
    client = app.test_client()
    assert "Set-Cookie" not in client.get("/").headers
    told = client.put("/").headers["Set-Cookie"]
    assert told.startswith(f"{COOKIE}=4d.")
    assert all(word in told for word in ("Max-Age=7", "HttpOnly", "SameSite=Lax"))
    assert "Set-Cookie" not in client.get("/").headers, "a read moves nothing"
    assert [mark.position for mark in seen] == [0, 77]


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("ffff.1.2", id="made up"),
        pytest.param(signed(9, "another key", wall_s()), id="another key"),
    ],
)
def test_what_we_did_not_sign_says_nothing(app: Flask, seen: list[Mark], token: str) -> None:
    client = app.test_client()
    client.set_cookie(COOKIE, token)
    client.get("/")
    assert seen[0].position == 0


def test_a_later_write_moves_the_mark_and_an_earlier_one_does_not(
    app: Flask, seen: list[Mark]
) -> None:
    client = app.test_client()
    client.set_cookie(COOKIE, signed(100, KEY, wall_s()))
    told = client.put("/").headers["Set-Cookie"]
    token = told.partition("=")[2].partition(";")[0]
    assert position_in(token, KEY, wall_s(), 60.0) == 100
    assert seen == []


def test_without_a_key_nothing_is_asked_and_nothing_told(seen: list[Mark | None]) -> None:
    app = Flask("own-writes")
    own_writes.install(app, load({}).settings)
    assert not app.before_request_funcs
    assert not app.after_request_funcs
    assert seen == []


def test_outside_of_a_guarded_request_there_is_no_mark() -> None:
    app = Flask("own-writes")
    own_writes.install(app, SETTINGS)
    assert app.test_client().get("/").status_code == 404
