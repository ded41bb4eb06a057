"""The operator's page in a real Chromium, against the real service."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stress.arrivals import constant
from stress.scenario import place, replay
from stress.server import Server, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.chromium import Browser

pytestmark = pytest.mark.process

WIDE, PHONE = (1200, 830), (360, 740)
# One read at a time and none waiting: a little load is an overload.
TINY = {
    "GUARD_READ_POOL_SIZE": "1", "GUARD_READ_WAITERS": "0", "GUARD_WRITE_WAITERS": "1",
    "GUARD_READ_WAIT_BUDGET": "1ms", "GUARD_WRITE_WAIT_BUDGET": "1ms",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("page") / "log"
    with place("duckdb") as where, Server(log, {"GUARD_DATABASE_URL": where.url, **TINY}) as made:
        yield made


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Browser]:
    """The page, wide and light, with a first answer."""
    browser.screen(*WIDE)
    browser.errors.clear()
    browser.open(f"http://{server.admin.host}:{server.admin.port}/")
    browser.until("document.getElementById('mark').textContent !== ''")
    yield browser
    assert browser.errors == []


def value(browser: Browser, identifier: str, name: str = "textContent") -> Any:
    return browser.evaluate(f"document.getElementById({json.dumps(identifier)}).{name}")


def colour(browser: Browser, selector: str, name: str) -> tuple[int, ...]:
    script = f"getComputedStyle(document.querySelector({json.dumps(selector)})).{name}"
    text = browser.evaluate(script).partition("(")[2].rstrip(")")
    return tuple(int(part) for part in text.split(",")[:3])


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast ratio of WCAG 2.2."""

    def light(rgb: tuple[int, ...]) -> float:
        parts = [c / 255 for c in rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_idle(page: Browser) -> None:
    page.until("document.getElementById('sentence').textContent.startsWith('Idle')")
    assert value(page, "mark") == "OK"
    assert "read lane" in page.text("#lanes")
    assert "breaker closed" in page.text("#lanes")
    assert page.evaluate("document.querySelectorAll('canvas').length") == 3
    assert "GUARD_READ_WAIT_BUDGET" in page.text("#settings")
    assert value(page, "live").startswith("live")
    assert page.evaluate("document.title") == "OK: Guard"


def test_it_is_alive(page: Browser) -> None:
    before = page.evaluate("shown.sequence")
    page.until(f"shown.sequence >= {before} + 2")
    assert page.evaluate("charts.rows.length") >= 3


def test_under_load_it_says_what_is_shed_and_why(page: Browser, server: Server) -> None:
    load = threading.Thread(target=replay, args=(server.target, constant(200, 6), 1))
    load.start()
    page.until("document.getElementById('sentence').textContent.startsWith('Shedding')")
    page.until("document.getElementById('refusals').textContent.includes('unfinished on')")
    assert value(page, "mark") in {"ALARM", "WARNING"}
    # A variable to turn, or that no variable helps a machine that is out of CPU.
    assert any(word in page.text("#advice") for word in ("GUARD_", "out of CPU"))
    load.join()
    assert page.evaluate("charts.rows.some((row) => row[1] > 0)")


def test_the_what_if_by_keyboard(page: Browser) -> None:
    page.evaluate("document.getElementById('if-read').focus()")
    assert value(page, "export-read") == "export GUARD_READ_WAIT_BUDGET=1ms"
    for _ in range(5):
        page.key("ArrowRight", 39)
    assert value(page, "export-read") == "export GUARD_READ_WAIT_BUDGET=50ms"
    told = value(page, "told-read")
    assert told.startswith("With a budget of 50 ms, ")
    before = page.evaluate("shown.sequence")
    page.until(f"shown.sequence > {before} + 1")
    assert value(page, "export-read") == "export GUARD_READ_WAIT_BUDGET=50ms"
    assert page.evaluate("document.activeElement.id") == "if-read"


def test_everything_is_reached_by_the_tab_key(page: Browser) -> None:
    reached = []
    for _ in range(25):
        page.key("Tab", 9)
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.innerText")
        )
    assert reached[0] == "Skip to the verdict"
    assert {"if-read", "if-write", "Copy", "find", "changed", "status.json"} <= set(reached)


def test_settings_are_found(page: Browser) -> None:
    page.evaluate("document.getElementById('find').value = 'read budget'")
    page.evaluate("document.getElementById('find').dispatchEvent(new Event('input'))")
    assert value(page, "settings-count").startswith("1 of ")
    assert "1ms" in page.text("#settings")
    page.evaluate("document.getElementById('find').value = ''")
    page.evaluate("document.getElementById('changed').click()")
    assert "GUARD_READ_WAITERS" in page.text("#settings")
    assert "GUARD_DEADLINE" not in page.text("#settings")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits_and_can_be_read(page: Browser, size: tuple[int, int], dark: bool) -> None:  # noqa: FBT001 - a table
    page.screen(*size, dark=dark, phone=size == PHONE)
    page.until(f"innerWidth === {size[0]} && document.querySelectorAll('canvas').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    background = colour(page, "body", "backgroundColor")
    assert (sum(background) < 3 * 128) is dark
    assert contrast(colour(page, "body", "color"), background) > 7
    for selector in (".lane p", ".lane h2", "#workers td", "thead th", ".tile"):
        card = colour(page, ".lane", "backgroundColor")
        assert contrast(colour(page, selector, "color"), card) > 4.5, selector
    for level in ("ok", "warn", "bad"):
        page.evaluate(f"document.getElementById('verdict').className = '{level}'")
        ground = colour(page, "#verdict", "backgroundColor")
        assert contrast(colour(page, "#sentence", "color"), ground) > 7, level
        mark = colour(page, "#mark", "backgroundColor")
        assert contrast(colour(page, "#mark", "color"), mark) > 4.5, level


def test_a_killed_worker_is_told_and_the_page_goes_on(page: Browser, server: Server) -> None:
    (victim,) = tree(server.pid)[1:]
    os.kill(victim, signal.SIGKILL)
    page.until(
        f"document.getElementById('events').textContent.includes('worker {victim} has ended')"
    )
    page.until(f"shown.workers.some((one) => one.ready && one.pid !== {victim})")
    page.until("document.getElementById('mark').textContent === 'OK'")


def test_a_stopped_worker_is_told(page: Browser, server: Server) -> None:
    (victim,) = tree(server.pid)[1:]
    os.kill(victim, signal.SIGSTOP)
    try:
        page.until("document.getElementById('sentence').textContent.startsWith('Down: no worker')")
        assert "SILENT" in page.text("#workers")
    finally:
        os.kill(victim, signal.SIGCONT)
    page.until("document.getElementById('mark').textContent === 'OK'")


def test_a_service_that_is_gone(browser: Browser, tmp_path: Path) -> None:
    browser.screen(*WIDE)
    with (
        place("duckdb") as where,
        Server(tmp_path / "log", {"GUARD_DATABASE_URL": where.url}) as made,
    ):
        port = made.admin.port
        browser.open(f"http://{made.admin.host}:{port}/")
        browser.until("document.getElementById('mark').textContent === 'OK'")
        made.kill()
        browser.until("document.body.classList.contains('stale')")
        assert value(browser, "mark") == "GONE"
        assert value(browser, "live").startswith("no answer since ")
        assert "Everything below is old." in browser.text("#advice")
        assert browser.evaluate("document.title") == "GONE: Guard"
        # What was seen last is still there to be read.
        assert "read lane" in browser.text("#lanes")
        again = Server(tmp_path / "log", {
            "GUARD_DATABASE_URL": where.url, "GUARD_ADMIN_BIND": f"127.0.0.1:{port}",
        })  # fmt: skip
        with again:
            browser.until("document.getElementById('mark').textContent === 'OK'")
            assert not browser.evaluate("document.body.classList.contains('stale')")


def test_with_a_token_a_browser_may_look_by_its_login(browser: Browser, tmp_path: Path) -> None:
    token = "open-sesame-open-sesame"  # noqa: S105 - a test's
    environ = {"GUARD_ADMIN_TOKEN": token}
    with place("duckdb") as where:
        environ["GUARD_DATABASE_URL"] = where.url
        with Server(tmp_path / "log", environ) as made:
            browser.open(f"http://any:{token}@127.0.0.1:{made.admin.port}/")
            browser.until("document.getElementById('mark').textContent !== ''")
            assert value(browser, "live").startswith("live")
