"""Pictures of the operator's page: idle, at load, overloaded, locked out, without a database."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from PIL import Image
from psycopg import connect

from service.postgres_process import free_port
from stress.arrivals import constant
from stress.chromium import Browser, NoChromium, chromium
from stress.fill import fill
from stress.observe import draw_rows
from stress.prometheus import Prometheus
from stress.scenario import place, replay

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from stress.scenario import Place
    from stress.server import Server
    from stress.shots import Target

WIDTH: Final = 1200
HEIGHT: Final = 830
PHONE: Final = (360, 740)
_PEAK: Final = 230.0
"""Users per second at the incident's peak."""
_WATCH_S: Final = 20.0
_COLOURS: Final = 128


def run(options: Namespace) -> int:
    """Take the pictures; return 2 where there is no browser.

    Args:
        options: ``rows``, ``rate``, ``out``, ``dashboards``.
    """
    try:
        with chromium() as browser:
            _calm(browser, options)
            _overloaded(browser, options)
            _on_postgres(browser, options)
    except NoChromium as error:
        print(f"stress: {error}")
        return 2
    return 0


def _calm(browser: Browser, options: Namespace) -> None:
    with place("duckdb") as where, where.server("service", guarded=True) as server:
        with _watched(where, server, options, "idle"):
            _look(browser, server.admin)
            _wait(6.0)
            _shoot(browser, options.out / "page-idle.png")
        with _watched(where, server, options, "load"), _load(server.target, _PEAK):
            _shoot(browser, options.out / "page-load.png")


def _overloaded(browser: Browser, options: Namespace) -> None:
    with place("duckdb") as where:
        fill(where.url, options.rows)
        with where.server("service", guarded=True) as server:
            _look(browser, server.admin)
            with _watched(where, server, options, "overload"), _load(server.target, options.rate):
                _shoot(browser, options.out / "page-overload.png")
                _shoot(browser, options.out / "page-dark.png", dark=True)
                _shoot(browser, options.out / "page-phone.png", phone=True)


def _on_postgres(browser: Browser, options: Namespace) -> None:
    with place("postgres") as where, where.server("service", guarded=True) as server:
        _look(browser, server.admin)
        if where.postgres is None:
            return
        with (
            _watched(where, server, options, "lock-convoy"),
            _load(server.target, _PEAK / 4),
            connect(where.url) as blocker,
        ):
            # Writes conflict with it, reads don't.
            blocker.execute("LOCK TABLE warriors IN SHARE MODE")
            _wait(3.0)
            _shoot(browser, options.out / "page-lock-convoy.png")
        with _watched(where, server, options, "database-down"), _load(server.target, _PEAK / 4):
            where.postgres.kill(signal.SIGKILL)
            _wait(6.0)
            _shoot(browser, options.out / "page-database-down.png")


@contextmanager
def _watched(where: Place, server: Server, options: Namespace, state: str) -> Iterator[None]:
    """Have Prometheus look on, and draw the dashboard's rows afterwards, where that is wanted."""
    if options.dashboards is None:
        yield
        return
    with Prometheus(where.folder, [server.admin], free_port(), interval_s=1) as prometheus:
        since_s = prometheus.now_s()
        yield
        draw_rows(prometheus, since_s, options.dashboards / state)


def _look(browser: Browser, admin: Target) -> None:
    browser.screen(WIDTH, HEIGHT)
    browser.open(f"http://{admin.host}:{admin.port}/")
    browser.until("document.getElementById('mark').textContent")


@contextmanager
def _load(target: Target, rate: float) -> Iterator[None]:
    """Send the incident's mix, and go on when it has run for a while."""
    thread = Thread(target=replay, args=(target, constant(rate, 1.5 * _WATCH_S), 1))
    thread.start()
    _wait(_WATCH_S)
    yield
    thread.join()


def _shoot(browser: Browser, file: Path, *, dark: bool = False, phone: bool = False) -> None:
    width, height = PHONE if phone else (WIDTH, HEIGHT)
    browser.screen(width, height, dark=dark, phone=phone)
    _wait(1.5)
    file.parent.mkdir(parents=True, exist_ok=True)
    browser.shoot(file)
    # A page has few colours: as a palette the picture takes a third of the room.
    Image.open(file).convert("RGB").quantize(_COLOURS).save(file, optimize=True)
    print(f"written: {file} ({browser.text('#sentence')})", flush=True)


def _wait(seconds: float) -> None:
    Event().wait(seconds)
