"""Kills, reloads, upgrades and the end."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from gunicorn_process import Gunicorn, get, gunicorn, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

COUNTER = "guard_http_responses_total"


def holding(running: Gunicorn, requests: int) -> list[threading.Thread]:
    """Occupy request threads until the file ``release`` is there."""

    def hold() -> None:
        try:
            get(running.port, "/hold")
        except (OSError, http.client.HTTPException):
            return

    threads = [threading.Thread(target=hold) for _ in range(requests)]
    for thread in threads:
        thread.start()
    running.until(lambda: len(list(running.folder.glob("held-*"))) >= requests, "all are held")
    return threads


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("how", ["ctrl-c", "term", "int", "quit"])
def test_ends_in_order_with_status_0(tmp_path: Path, how: str) -> None:
    with gunicorn(tmp_path) as running:
        running.wait_ready()
        pid = get(running.port, "/x")[1]
        if how == "ctrl-c":
            running.interrupt_group()
        else:
            running.signal(getattr(signal, f"SIG{how.upper()}"))
        assert running.wait() == 0, running.output
    assert "Traceback" not in running.output
    assert running.notes == [f"{pid} drain", f"{pid} exit"]


def test_ctrl_c_ends_although_a_request_never_does(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running:
        running.wait_ready()
        threads = holding(running, 2)
        running.interrupt_group()
        assert running.wait() == 0, running.output
        joined(threads)
    assert [line.split()[1] for line in running.notes] == ["drain", "exit"]
    assert "SIGKILL" not in running.output


def test_term_lets_running_requests_end_first(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running:
        running.wait_ready()
        threads = holding(running, 2)
        running.signal(signal.SIGTERM)
        running.until(lambda: running.notes, "the drain")
        (tmp_path / "release").touch()
        assert running.wait() == 0
        joined(threads)
    assert [line.split()[1] for line in running.notes] == ["drain", "held", "held", "exit"]


def test_ctrl_c_cuts_a_graceful_end_short(tmp_path: Path) -> None:
    with gunicorn(tmp_path, GUARD_DEADLINE="60s") as running:
        running.wait_ready()
        threads = holding(running, 1)
        running.signal(signal.SIGTERM)
        running.until(lambda: running.notes, "the drain")
        running.interrupt_group()
        assert running.wait() == 0
        joined(threads)
    assert [line.split()[1] for line in running.notes] == ["drain", "exit"]
    assert "SIGKILL" not in running.output


def test_scrapes_while_every_thread_is_busy(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running:
        running.wait_ready()
        threads = holding(running, 4)
        with pytest.raises(TimeoutError):
            get(running.port, "/x", timeout_s=0.2)
        for _ in range(20):
            assert get(running.admin_port, "/metrics", timeout_s=2.0)[0] == 200
        (tmp_path / "release").touch()
        joined(threads)


def test_counters_survive_kills_and_a_reload(tmp_path: Path) -> None:
    with gunicorn(tmp_path, GUARD_WORKERS="3") as running:
        running.wait_ready(3)
        seen = [0.0]
        stop = threading.Event()

        def scrape() -> None:
            while not stop.wait(0.01):
                seen.append(running.metric(COUNTER))

        scraper = threading.Thread(target=scrape)
        scraper.start()
        asked = 0
        for _ in range(3):
            for _ in range(10):
                get(running.port, "/x")
                asked += 1
            victim = min(running.pids())
            os.kill(victim, signal.SIGKILL)
            running.until(lambda v=victim: v not in running.pids(), "the row is freed")
            running.wait_ready(3)
        before = running.pids()
        running.signal(signal.SIGHUP)
        running.until(lambda: len(running.pids()) == 3 and not running.pids() & before, "a reload")
        for _ in range(5):
            get(running.port, "/x")
            asked += 1
        stop.set()
        scraper.join()
        assert running.metric(COUNTER) == asked
        assert seen == sorted(seen)
        assert max(seen) <= asked


def test_a_reload_with_bad_settings_keeps_the_old_ones(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("GUARD_MODE=shadow\n")
    with gunicorn(tmp_path, GUARD_CONFIG_FILE=str(file)) as running:
        running.wait_ready()
        before = running.pids()
        file.write_text("GUARD_MODE=nonsense\nGUARD_ADMIN_BIND=off\n")
        running.signal(signal.SIGHUP)
        running.until(lambda: running.pids() and not running.pids() & before, "a reload")
        assert "guard: GUARD_MODE='nonsense'" in running.output
        assert "keeps the settings" in running.output
        assert running.process.poll() is None


def test_an_upgrade_keeps_the_admin_address(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with gunicorn(tmp_path, "-p", str(pidfile)) as running:
        running.wait_ready()
        old = running.pids()
        get(running.port, "/x")
        running.signal(signal.SIGUSR2)
        new_pidfile = tmp_path / "pid.2"
        running.until(new_pidfile.exists, "a new arbiter")
        new_arbiter = int(new_pidfile.read_text())
        running.until(lambda: running.output.count("Booting worker") == 2, "a new worker")
        # The old one still answers.
        assert running.pids() == old
        running.signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        try:
            running.until(lambda: running.pids() and not running.pids() & old, "taken over")
            assert running.readiness()["ready"]
            assert get(running.port, "/x")[0] == 200
        finally:
            os.kill(new_arbiter, signal.SIGTERM)
        until(lambda: not _alive(new_arbiter), "the new arbiter ends")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


STUBBORN = """
import os, signal, threading
from pathlib import Path
from guard import metrics
from guard.gunicorn import current_worker

HERE = Path(__file__).parent
worker = current_worker()

def note(text):
    with (HERE / "notes").open("a") as file:
        file.write(f"{os.getpid()} {text}\\n")

def fail(*_):
    raise ValueError("no spanner")

def stick(*_):
    note("stuck")
    while True:
        threading.Event().wait(1)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []

worker.on_drain(fail)
worker.on_drain(lambda: note("drain"))
worker.on_exit(fail)
worker.on_exit(lambda left_s: note("exit"))
worker.recorder.set(metrics.WORKER_READY, (), 1.0)
signal.signal(signal.SIGALRM, stick)
"""


@pytest.mark.parametrize(
    "obstacle",
    [
        "",
        "threading.Thread(target=stick).start()",
        "worker.on_exit(stick)",
        "worker.on_drain(stick)",
        "MAIN",
    ],
)
def test_ctrl_c_ends_whatever_is_in_its_way(tmp_path: Path, obstacle: str) -> None:
    stuck_main = obstacle == "MAIN"
    with gunicorn(tmp_path, app=STUBBORN + ("" if stuck_main else obstacle)) as running:
        running.wait_ready()
        if stuck_main:
            os.kill(running.pids().pop(), signal.SIGALRM)
            running.until(lambda: running.notes, "the main thread is stuck")
        running.interrupt_group()
        assert running.wait() == 0, running.output
    assert "SIGKILL" not in running.output
    assert running.output.count("ValueError: no spanner") == 2
    assert {"drain", "exit"} <= {line.split()[1] for line in running.notes}


def test_a_worker_whose_main_thread_is_stuck_is_replaced(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--timeout", "1", app=STUBBORN) as running:
        running.wait_ready()
        before = running.pids()
        os.kill(min(before), signal.SIGALRM)
        running.until(lambda: running.pids() and not running.pids() & before, "another worker")
        assert [line.split()[1] for line in running.notes] == ["stuck", "drain", "exit"]


def test_ctrl_c_while_the_application_loads(tmp_path: Path) -> None:
    with gunicorn(tmp_path, app=STUBBORN + "stick()") as running:
        running.until(lambda: running.notes, "the application loads")
        running.interrupt_group()
        assert running.wait() == 0, running.output
    assert [line.split()[1] for line in running.notes] == ["stuck", "drain", "exit"]
    assert "could not start" not in running.output


def test_recycling_drains_too(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--max-requests", "2") as running:
        running.wait_ready()
        first = get(running.port, "/x")[1]
        assert get(running.port, "/x")[1] == first
        running.until(lambda: running.pids() and int(first) not in running.pids(), "a new worker")
        assert running.notes == [f"{first} drain", f"{first} exit"]
        assert running.metric(COUNTER) == 2
