"""Real services under overload and with a sick database, and a Prometheus that watched them."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psycopg
import yaml

from service.postgres_process import free_port
from stress.arrivals import constant
from stress.prometheus import RULE_FILES, Prometheus
from stress.scenario import replay
from stress.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.demo_postgres import DemoServer

BOUND_S = 60.0
"""Generous: the tests wait for what must happen, and measure nothing."""
RATE_INTERVAL = "5s"
TINY = {
    "GUARD_READ_POOL_SIZE": "1",
    "GUARD_READ_WAITERS": "1",
    "GUARD_READ_WAIT_BUDGET": "1ms",
    "GUARD_WRITE_WAITERS": "1",
}
# A frozen server fails as many calls as there are connections, which is fewer than the default.
LIGHT = {
    "GUARD_WORKERS": "1",
    "GUARD_STATEMENT_TIMEOUT": "3s",
    "GUARD_BREAKER_MIN_CALLS": "2",
}
BODY = b'{"name": "Mulan", "dob": "1998-06-19", "fight_skills": ["sword"]}'


class World:
    """Three services: overloaded, overloaded in shadow mode, on a PostgreSQL that fails."""

    def __init__(self, folder: Path, postgres: DemoServer) -> None:
        self.postgres = postgres
        self.begun_s = 0.0
        self.shedding = self._server(folder, "shedding", TINY)
        self.shadow = self._server(folder, "shadow", TINY | {"GUARD_MODE": "shadow"})
        url = {"GUARD_DATABASE_URL": postgres.url}
        self.sick = Server(folder / "sick.log", LIGHT | url)
        self.prometheus = Prometheus(
            folder,
            [each.admin for each in self.servers],
            free_port(),
            rule_files=_impatient(folder),
        )

    @property
    def servers(self) -> tuple[Server, ...]:
        return self.shedding, self.shadow, self.sick

    def _server(self, folder: Path, name: str, environ: dict[str, str]) -> Server:
        url = f"duckdb:///{folder / name}.duckdb"
        return Server(folder / f"{name}.log", {"GUARD_DATABASE_URL": url, **environ})

    def values(self, expr: str) -> list[float]:
        """Return every value that a query had since the beginning, without NaN."""
        found = self.prometheus.ask(
            "query_range", query=expr, start=self.begun_s, end=self.prometheus.now_s(), step=1
        )
        numbers = [float(text) for series in found["result"] for _, text in series["values"]]
        return [number for number in numbers if number == number]  # noqa: PLR0124 - not NaN

    def until_seen(self, expr: str) -> None:
        """Wait until Prometheus has a sample of the query."""
        pause = Event()
        for _ in range(round(BOUND_S / 0.25)):
            if self.prometheus.ask("query", query=expr)["result"]:
                return
            pause.wait(0.25)
        raise AssertionError(f"never seen: {expr}\n{self.sick.log_text()[-2000:]}")

    def overload(self) -> None:
        replay(self.shedding.target, constant(250, 4), 1)
        replay(self.shadow.target, constant(250, 2), 2)
        replay(self.sick.target, constant(30, 2), 3)

    def hold_lock(self) -> None:
        """Let writers wait for a lock, again and again, until Prometheus has seen a long wait."""
        over = Event()
        writers = [Thread(target=self._write_until, args=(over,)) for _ in range(3)]
        with psycopg.connect(self.postgres.url) as blocker:
            blocker.execute("LOCK TABLE warriors IN EXCLUSIVE MODE")
            for writer in writers:
                writer.start()
            try:
                self.until_seen("guard_db_lock_wait_oldest_seconds > 1.2")
            finally:
                over.set()
                blocker.rollback()
        for writer in writers:
            writer.join(BOUND_S)

    def lose_database(self) -> None:
        """Freeze the server until the breaker opens, then stop it."""
        self.postgres.kill(signal.SIGSTOP)
        replay(self.sick.target, constant(30, 2), 4)
        self.until_seen('guard_breaker_state{state="open"} > 0')
        self.postgres.stop()

    def _write_until(self, over: Event) -> None:
        while not over.is_set():
            with closing(HTTPConnection(*self.sick.target, timeout=BOUND_S)) as connection:
                connection.request("POST", "/warrior", BODY, {"Content-Type": "application/json"})
                connection.getresponse().read()


def _impatient(folder: Path) -> list[Path]:
    # Alerts fire at once: a minute of patience would be a minute of each test run.
    files = []
    for original in RULE_FILES:
        document: dict[str, Any] = yaml.safe_load(original.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        copy = folder / original.name
        copy.write_text(yaml.safe_dump(document))
        files.append(copy)
    return files


@contextmanager
def world(folder: Path, start_postgres: Callable[[dict[str, str]], DemoServer]) -> Iterator[World]:
    """Run through overload, lock wait, lost database and a killed service."""
    made = World(folder, start_postgres({"fsync": "off", "max_connections": "40"}))
    with ExitStack() as running:
        for part in (*made.servers, made.prometheus):
            running.enter_context(part)
        made.begun_s = made.prometheus.now_s()
        # Rates need a first sample from before the load.
        made.until_seen("count(guard_workers) == 3")
        made.overload()
        made.hold_lock()
        made.lose_database()
        made.shadow.kill()
        made.until_seen('ALERTS{alertname="GuardScrapeGone"}')
        yield made
