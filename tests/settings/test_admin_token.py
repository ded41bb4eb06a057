"""Who may reach the admin listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.errors import SettingsError
from guard.settings import load
from guard.settings.forms import Unfit, is_loopback
from guard.settings.model import specs
from guard.settings.values import convert

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef"  # noqa: S105 - a test's


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:8001", True), ("127.9.9.9:1", True), ("localhost:1", True),
        ("LOCALHOST:1", True), ("[::1]:1", True), ("[::1%lo]:1", True),
        ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.1:1", False), ("host:1", False),
        ("localhost.example:1", False), ("128.0.0.1:1", False),
    ],
)  # fmt: skip
def test_loopback(bind: str, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_loopback(bind) is expected


def test_off_loopback_a_token_is_wanted() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"GUARD_ADMIN_BIND": "0.0.0.0:9000"})
    (problem,) = caught.value.problems
    assert "openssl rand" in problem.hint
    assert "127.0.0.1" in problem.hint
    load({"GUARD_ADMIN_BIND": "0.0.0.0:9000", "GUARD_ADMIN_TOKEN": TOKEN})
    load({"GUARD_ADMIN_BIND": "off"})


def test_the_token_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    environ = {"GUARD_ADMIN_BIND": "[::]:9000", "GUARD_ADMIN_TOKEN_FILE": str(file)}
    loaded = load(environ)
    assert loaded.settings.admin_token == TOKEN
    assert TOKEN not in repr(loaded)


@pytest.mark.parametrize(
    "text", ["", "x" * 15, "x" * 513, "with a space in it", "with:colons:in:it", "é" * 20]
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(Unfit):
        convert("admin_token", specs()["admin_token"], text)


def test_a_bad_token_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"GUARD_ADMIN_TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)
