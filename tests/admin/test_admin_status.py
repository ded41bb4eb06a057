"""The page, the status document and the token, under two WSGI validators."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

from guard.admin import AdminApp, admin_app
from guard.admin.access import allowed
from guard.admin.page import assets
from guard.board import Board
from guard.settings import load

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
TOKEN = "open-sesame-open-sesame"  # noqa: S105 - a test's
# The files of the npm package uplot, version 1.6.32, as they were published.
UPLOT = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


class Fixed:
    """A status that says what it is told to."""

    def __init__(self) -> None:
        self.sequence = 1

    def etag(self, after: int) -> str:
        return f'"{self.sequence}-{after}"'

    def json(self, after: int = 0) -> bytes:
        return json.dumps({"after": after}).encode()

    def text(self) -> str:
        return "[OK] Fine.\n"


def app(token: str = "") -> AdminApp:
    return AdminApp(Board.local()[0], status=Fixed(), token=token)


def ask(
    path: str, headers: Mapping[str, str] | None = None, *, of: AdminApp | None = None
) -> TestResponse:
    with Client(validator(of or app())).get(
        path, headers=dict(headers or {}), buffered=True
    ) as found:
        found.get_data()
        return found


def test_the_page_and_everything_that_it_names_is_there() -> None:
    page = ask("/")
    assert page.content_type == "text/html; charset=utf-8"
    names = set(re.findall(r'(?:href|src)="([^"#]+)"', page.text))
    assert {"page.css", "page.js", "uPlot.iife.min.js", "status.json"} <= names
    for name in names:
        assert ask(f"/{name}").status_code == 200, name


def test_nothing_comes_from_elsewhere() -> None:
    policy = ask("/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    for name, asset in assets().items():
        if not name.startswith("uPlot") and not name.endswith((".json", ".svg")):
            assert b"//" not in asset.body.replace(b"// ", b""), name
    assert not re.search(r"<style|style=|<script>|onclick=", ask("/").text)


@pytest.mark.parametrize("name", UPLOT)
def test_the_chart_library_is_as_it_was_published(name: str) -> None:
    body = (files("guard.admin") / "assets" / name).read_bytes()
    assert hashlib.sha256(body).hexdigest() == UPLOT[name]


@pytest.mark.parametrize(
    "path", ["/status", "/status.json", "/status.json?after=7", "/", "/page.js"]
)
def test_etags(path: str) -> None:
    first = ask(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = ask(path, {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert ask(path, {"If-None-Match": f'"x", W/{first.headers["ETag"]}'}).status_code == 304
    assert ask(path, {"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    ("query", "after"),
    [
        ("", 0),
        ("?after=12", 12),
        ("?x=1&after=12&y=2", 12),
        ("?after=-1", 0),
        ("?after=" + "9" * 16, 0),
    ],
)
def test_which_points_are_asked_for(query: str, after: int) -> None:
    assert ask(f"/status.json{query}").json == {"after": after}


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/status", "*/*", "application/json"),
        ("/status", "text/plain", "text/plain; charset=utf-8"),
        ("/status.txt", "*/*", "text/plain; charset=utf-8"),
        ("/status.json", "text/plain", "application/json"),
        ("/", "text/plain", "text/plain; charset=utf-8"),
        ("/", "text/html,text/plain;q=0.5,*/*;q=0.1", "text/html; charset=utf-8"),
        ("/", "*/*", "text/html; charset=utf-8"),
    ],
)
def test_by_what_the_client_takes(path: str, accept: str, kind: str) -> None:
    assert ask(path, {"Accept": accept}).content_type == kind


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer   {TOKEN}", True),
        (basic("", TOKEN), True),
        (basic("anybody", TOKEN), True),
        ("", False),
        (TOKEN, False),
        ("Bearer", False),
        (f"Bearer {TOKEN}x", False),
        (f"Digest {TOKEN}", False),
        (basic(TOKEN, ""), False),
        (basic("anybody", TOKEN[:-1]), False),
        ("Basic %%%", False),
        ("Basic w6Q", False),
        ("Bearer \u00e4\u20ac", False),
    ],
)
def test_who_may_look(authorization: str, expected: bool) -> None:  # noqa: FBT001 - a table
    assert allowed(authorization, TOKEN) is expected
    assert allowed(authorization, "")


@pytest.mark.parametrize(
    "path", ["/", "/status", "/status.json", "/status.txt", "/metrics", "/page.js", "/x"]
)
def test_with_a_token_nothing_but_the_probes_is_open(path: str) -> None:
    guarded = app(TOKEN)
    refused = ask(path, of=guarded)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert ask(path, {"Authorization": f"Bearer {TOKEN}"}, of=guarded).status_code != 401
    assert ask("/livez", of=guarded).status_code == 200
    assert ask("/readyz", of=guarded).status_code == 503


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8001", 200), ("localhost", 200), ("LOCALHOST:8001", 200), ("[::1]:8001", 200),
        ("[::1]", 200), ("192.0.2.7:1", 200), ("", 200),
        ("evil.example:8001", 421), ("evil.example", 421), ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)  # fmt: skip
def test_a_strangers_name_for_this_machine_is_no_way_in(host: str, expected: int) -> None:
    local = AdminApp(Board.local()[0], status=Fixed(), local=True)
    assert ask("/status.json", {"Host": host}, of=local).status_code == expected
    assert ask("/livez", {"Host": host}, of=local).status_code == 200
    assert ask("/status.json", {"Host": host}).status_code == 200


def test_below_a_prefix_the_page_takes_a_slash() -> None:
    mounted = Client(DispatcherMiddleware(lambda _e, _s: [], {"/admin": app()}))
    with mounted.get("/admin") as response:
        assert (response.status_code, response.headers["Location"]) == (301, "/admin/")
    with mounted.get("/admin/") as response:
        assert "<title>Guard</title>" in response.text


def test_without_a_status_there_is_no_page() -> None:
    bare = AdminApp(Board.local()[0])
    assert ask("/", of=bare).status_code == ask("/status.json", of=bare).status_code == 404
    assert ask("", of=bare).status_code == 404


def test_on_another_server_than_gunicorn() -> None:
    board, _row = Board.local()
    loaded = load({"GUARD_ADMIN_TOKEN": TOKEN}, cores=2)
    made = admin_app(board, loaded)
    assert ask("/status", of=made).status_code == 401
    found = ask("/status", {"Authorization": f"Bearer {TOKEN}"}, of=made).json
    assert found is not None
    assert len(found["workers"]) == 1
    assert ask("/readyz", of=made).json["workers"][0]["ready"] is False


def test_the_files_are_in_the_wheel(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"guard/admin/assets/{name}" for name in assets()} <= names
