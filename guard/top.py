"""``python -m guard top``: the operator's page in a terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from guard.clock import MonotonicClock
from guard.status.text import text

if TYPE_CHECKING:
    from typing import TextIO

    from guard.clock import Clock

Document = dict[str, Any]
Fetch = Callable[[], Document]

PERIOD_S: Final = 1.0
TIMEOUT_S: Final = 3.0
DEFAULT_URL: Final = "http://127.0.0.1:8001"
_ENTER: Final = "\033[?1049h\033[?25l"
_LEAVE: Final = "\033[?25h\033[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\033[H", "\033[K", "\033[J"
_DIM, _PLAIN = "\033[2m", "\033[0m"
_STYLES: Final = {
    "[OK]": "\033[1;34m",
    "[WARNING]": "\033[1;33m",
    "[ALARM]": "\033[1;31m",
    "[GONE]": "\033[1;35m",
}
"""By the word with which a line begins."""
_UNAUTHORIZED: Final = 401


class NoAnswer(Exception):  # noqa: N818 - says what happened
    """The admin listener gave no status; the message says why."""


class Size(NamedTuple):
    """A terminal's size.

    Attributes:
        columns: characters in a line.
        rows: lines.
    """

    columns: int
    rows: int


def fetch(url: str, token: str = "") -> Document:
    """Return the status document of an admin listener.

    Args:
        url: such as ``http://127.0.0.1:8001``.
        token: ``GUARD_ADMIN_TOKEN`` where the listener wants one.

    Raises:
        NoAnswer: there is none.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise NoAnswer(f"{url} is no http:// or https:// address")
    # Nothing but the newest point of the charts, which are not shown here.
    request = Request(f"{url.rstrip('/')}/status.json?after=999999999999999")  # noqa: S310 - see above
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        # A proxy of the environment is for the world outside, not for this listener.
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            found = json.load(answer)
    except HTTPError as error:
        error.close()
        hint = ": set GUARD_ADMIN_TOKEN" if error.code == _UNAUTHORIZED else ""
        raise NoAnswer(f"{url} answers {error.code} {error.reason}{hint}") from error
    except URLError as error:
        raise NoAnswer(f"nothing answers on {url}: {_why(error)}") from error
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{url} gives no status: {_why(error)}") from error
    if not isinstance(found, dict) or "verdict" not in found:
        raise NoAnswer(f"{url} is no admin listener of Guard's")
    return found


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def url_of(environ: Mapping[str, str]) -> str:
    """Return the address that the environment's ``GUARD_ADMIN_BIND`` names, or the default."""
    host, _, port = environ.get("GUARD_ADMIN_BIND", "").rpartition(":")
    for wildcard, loopback in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - compared
        host = loopback if host == wildcard else host
    return f"http://{host}:{port}" if host and port else DEFAULT_URL


def once(ask: Fetch, out: TextIO) -> int:
    """Print the status once; return 0, or 1 with one line on stderr where there is none."""
    try:
        out.write(text(ask()))
    except NoAnswer as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - a command's own message
        return 1
    return 0


class Screen:
    """What the terminal shows, also while nothing answers. Not thread-safe.

    Args:
        ask: gets a document.
        clock: the time.
    """

    def __init__(self, ask: Fetch, clock: Clock | None = None) -> None:
        self._ask = ask
        self._clock = clock or MonotonicClock()
        self._shown: Document | None = None
        self._heard_s = self._clock.now_s()

    def draw(self, size: Size) -> str:
        """Ask once and return what to write: it fills the terminal and never scrolls it."""
        head, style = "", ""
        try:
            self._shown = self._ask()
            self._heard_s = self._clock.now_s()
        except NoAnswer as problem:
            silent_s = self._clock.now_s() - self._heard_s
            head = f"[GONE] No answer since {silent_s:.0f} s: {problem}\n"
            style = _DIM
        body = "" if self._shown is None else text(self._shown, lines=size.rows)
        lines = [*head.splitlines(), *body.splitlines()][: max(1, size.rows - 1)]
        drawn = "".join(
            f"{_STYLES.get(line.partition(' ')[0], style)}{line[: size.columns]}{_PLAIN}"
            f"{_REST_OF_LINE}\r\n"
            for line in lines
        )
        return _HOME + drawn + _REST_OF_SCREEN


def watch(ask: Fetch, out: TextIO) -> int:
    """Show the status until Ctrl-C, which is the way to end it; return 0."""
    screen, pause = Screen(ask), Event()
    out.write(_ENTER)
    try:
        while True:
            size = Size(*shutil.get_terminal_size())
            out.write(screen.draw(size))
            out.flush()
            pause.wait(PERIOD_S)
    except KeyboardInterrupt:
        return 0
    finally:
        out.write(_LEAVE)
        out.flush()


def run(url: str | None, *, just_once: bool) -> int:
    """Run the command; return the exit status.

    Args:
        url: of the admin listener; None: as the environment says.
        just_once: print once and end, as for a script; so it does where stdout is no terminal.
    """
    where, token = url or url_of(os.environ), os.environ.get("GUARD_ADMIN_TOKEN", "")

    def ask() -> Document:
        return fetch(where, token)

    if just_once or not sys.stdout.isatty():
        return once(ask, sys.stdout)
    return watch(ask, sys.stdout)
