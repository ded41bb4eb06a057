"""``python -m guard top``, against a real admin listener."""

from __future__ import annotations

import io
import os
import pty
import signal
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from guard import top
from guard.__main__ import main
from guard.admin import AdminListener, admin_app
from guard.board import Board
from guard.settings import load
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "open-sesame-open-sesame"  # noqa: S105 - a test's


def listen(app: Any) -> AdminListener:
    listener = AdminListener("127.0.0.1", 0, app)
    listener.bind()
    listener.start()
    return listener


@pytest.fixture
def url() -> Iterator[str]:
    board, _row = Board.local()
    listener = listen(admin_app(board, load({"GUARD_ADMIN_TOKEN": TOKEN}, cores=2)))
    yield f"http://127.0.0.1:{listener.port}"
    listener.close()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", TOKEN)


def free_url() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", f"{url}/"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("[ALARM] Not serving: the worker is not ready.")
    assert "\033" not in out
    assert err == ""


def test_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", free_url()]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "Connection refused" in err


def test_the_token_is_missing(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN")
    assert main(["top", "--once", "--url", url]) == 1
    assert "401 Unauthorized: set GUARD_ADMIN_TOKEN" in capsys.readouterr().err


def answering(status: str, body: bytes) -> Callable[..., list[bytes]]:
    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    return app


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        ("200 OK", b"hello", "gives no status"),
        ("200 OK", b"[]", "no admin listener"),
        ("404 Not Found", b"", "answers 404"),
    ],
)
def test_something_else_answers(status: str, body: bytes, why: str) -> None:
    listener = listen(answering(status, body))
    with pytest.raises(top.NoAnswer, match=why):
        top.fetch(f"http://127.0.0.1:{listener.port}")
    listener.close()


def test_only_http() -> None:
    with pytest.raises(top.NoAnswer, match="no http"):
        top.fetch("file:///etc/passwd")


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("", top.DEFAULT_URL),
        ("off", top.DEFAULT_URL),
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        ("[::]:9", "http://[::1]:9"),
        ("[::1]:9", "http://[::1]:9"),
    ],
)
def test_where_by_default(bind: str, expected: str) -> None:
    assert top.url_of({"GUARD_ADMIN_BIND": bind}) == expected


def test_the_screen_keeps_old_values_and_says_so(url: str) -> None:
    document, clock = top.fetch(url, TOKEN), FakeClock()
    answers: list[top.Document | None] = [document, None]

    def ask() -> top.Document:
        found = answers.pop(0)
        if found is None:
            raise top.NoAnswer("nothing there")
        return found

    screen = top.Screen(ask, clock)
    shown = screen.draw(top.Size(60, 12))
    assert shown.count("\r\n") == 11
    assert all(len(line) < 60 + 20 for line in shown.split("\r\n"))
    clock.advance(12.0)
    gone = screen.draw(top.Size(60, 12))
    assert "[GONE] No answer since 12 s: nothing there" in gone
    assert "\033[2m" in gone
    assert "Not serving" in gone


def test_ctrl_c_is_the_way_out(url: str) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "guard", "top", "--url", url],
        stdout=slave, stderr=subprocess.PIPE, env={**os.environ, "GUARD_ADMIN_TOKEN": TOKEN},
    ) as process:  # fmt: skip
        os.close(slave)
        seen = b""
        while b"Not serving" not in seen:
            seen += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        while not seen.endswith(b"\033[?1049l"):
            seen += os.read(master, 4096)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(master)


def test_what_is_no_terminal_gets_one_status(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert top.run(url, just_once=False) == 0
    assert out.getvalue().startswith("[ALARM]")
