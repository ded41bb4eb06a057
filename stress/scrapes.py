"""The admin listener while workers are killed and reloaded and every request thread is busy."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.report import Report, Verdict
from stress.result import percentile
from stress.server import Server, tree

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from stress.shots import Target

P99_MS: Final = 100.0
PATHS: Final = ("/metrics", "/status.json", "/metrics", "/status.txt", "/")
WORKERS: Final = 3
_THREADS: Final = 12
_HTTP_OK: Final = 200
_TIMEOUT_S: Final = 10.0
_SETTLE_S: Final = 5.0


class Scrape(NamedTuple):
    """One scrape.

    Attributes:
        path: what was asked for.
        took_s: until the whole answer was there.
        failure: why there was none; empty where there was.
    """

    path: str
    took_s: float
    failure: str


def run(options: Namespace) -> int:
    """Scrape, kill and reload; print and write the report; return 1 where a bar was missed.

    Args:
        options: ``scrapes``, ``kills``, ``seconds``, ``out``.
    """
    found, killed, seen = measure(options.scrapes, options.kills, options.seconds)
    told = Report(
        f"{len(found)} scrapes over {killed} kills and a reload, every thread busy",
        verdicts=verdicts(found, killed, options.kills),
        facts={
            **{
                path: _latency([one for one in found if one.path == path])
                for path in dict.fromkeys(PATHS)
            },
            "worker processes seen": seen,
        },
        notes=sorted({one.failure for one in found if one.failure}),
    )
    print(told.text())
    report.write(told, {}, options.out, "scrapes")
    return 0 if told.met else 1


def verdicts(found: list[Scrape], killed: int, kills: int) -> list[Verdict]:
    """Return the bars."""
    failed = sum(bool(one.failure) for one in found)
    p99_ms = percentile(sorted(1e3 * one.took_s for one in found), 0.99)
    return [
        Verdict("no scrape failed", f"{failed} of {len(found)}", bool(found) and not failed),
        Verdict(f"p99 < {P99_MS:g} ms", f"{p99_ms:.1f} ms", p99_ms < P99_MS),
        Verdict("workers were killed", f"{killed} of {kills}", killed == kills),
    ]


def measure(scrapes: int, kills: int, seconds: float) -> tuple[list[Scrape], int, int]:
    """Return the scrapes, how many workers were killed, and how many there were in all.

    The kills and then the reload are spread evenly over the scrapes.

    Args:
        scrapes: how many, >= 1.
        kills: how many workers to kill.
        seconds: over which the scrapes are spread; they come later where an answer is late.
    """
    with tempfile.TemporaryDirectory(prefix="guard-stress-") as folder, _server(folder) as server:
        events = [scrapes * (number + 1) // (kills + 2) for number in range(kills + 1)]
        found, killed, seen = [], 0, set(_workers(server))
        begun_s, pause = monotonic(), Event()
        with _busy(server.target):
            for number in range(scrapes):
                if number in events[:-1]:
                    killed += _kill_one(server)
                elif number == events[-1]:
                    server.signal(signal.SIGHUP)
                found.append(scrape(server.admin, PATHS[number % len(PATHS)]))
                seen |= set(_workers(server)) if number % 50 == 0 else set()
                pause.wait(max(0.0, begun_s + seconds * (number + 1) / scrapes - monotonic()))
        return found, killed, len(seen)


def scrape(admin: Target, path: str) -> Scrape:
    """Ask once, with a connection of its own."""
    begun_s = monotonic()
    connection = HTTPConnection(admin.host, admin.port, timeout=_TIMEOUT_S)
    failure = ""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        failure = "" if answer.status == _HTTP_OK else f"{path}: status {answer.status}"
    except (OSError, HTTPException) as error:
        failure = f"{path}: {type(error).__name__}: {error}"
    finally:
        connection.close()
    return Scrape(path, monotonic() - begun_s, failure)


def _server(folder: str) -> Server:
    command = ("-m", "gunicorn", "-c", "gunicorn_config.py", "stress.trivial_app:slow()")
    environ = {
        "GUARD_DATABASE_URL": "", "GUARD_WORKERS": str(WORKERS), "GUARD_READ_POOL_SIZE": "2",
        "GUARD_READ_WAITERS": "2", "GUARD_WRITE_POOL_SIZE": "1", "GUARD_WRITE_WAITERS": "1",
    }  # fmt: skip
    return Server(Path(folder) / "log", environ, command, ready_path="/")


def _workers(server: Server) -> list[int]:
    return tree(server.pid)[1:]


def _kill_one(server: Server) -> int:
    # Until the last one that was killed is replaced there may be fewer.
    pause, until_s = Event(), monotonic() + _SETTLE_S
    while len(_workers(server)) < WORKERS and monotonic() < until_s:
        pause.wait(0.02)
    victim = min(_workers(server), default=0)
    if not victim:
        return 0
    os.kill(victim, signal.SIGKILL)
    return 1


@contextmanager
def _busy(target: Target) -> Iterator[None]:
    """Keep every request thread of the service busy."""
    done = Event()

    def ask() -> None:
        while not done.is_set():
            if scrape(target, "/").failure:
                done.wait(0.05)

    threads = [Thread(target=ask) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _latency(found: list[Scrape]) -> str:
    ordered = sorted(1e3 * one.took_s for one in found)
    shares = ((0.5, "p50"), (0.99, "p99"), (1.0, "max"))
    return ", ".join(f"{name} {percentile(ordered, share):.1f} ms" for share, name in shares)
