"""Acknowledged inserts per second on DuckDB: group commit against a commit per request."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.board import Board
from guard.clock import MonotonicClock
from guard.meter import PoolMeter
from service.warrior import search_text
from stress import report
from stress.ratios import ratios
from stress.report import Report

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from guard.backends.base import Session

    Write = Callable[[tuple[Any, ...]], object]
    Writers = Callable[[], Write]

COLUMNS: Final = ("id", "name", "dob", "fight_skills", "search_text")
TABLE: Final = (
    "CREATE TABLE warriors (id UUID PRIMARY KEY, name VARCHAR NOT NULL, dob DATE NOT NULL, "
    "fight_skills VARCHAR[] NOT NULL, search_text VARCHAR NOT NULL)"
)
BARS: Final = ((64, 5.0), (1, 0.9))
"""Threads, and the least ratio that is asked of them."""

_BOUNDS = Bounds(wait_s=30.0, run_s=30.0)
_NAME, _DOB, _SKILLS = "Some Name", date(1980, 1, 2), ["Boxing", "Judo", "Karate"]
_TEXT = search_text(_NAME, _DOB, _SKILLS)


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``rounds``, ``seconds``, ``out``.
    """
    rates: dict[tuple[int, str], list[float]] = {}
    for _ in range(options.rounds):
        for threads, _least in BARS:
            for name, opened in (("plain", _plain), ("group", _group)):
                with tempfile.TemporaryDirectory(prefix="guard-stress-") as folder:
                    path = Path(folder) / "warriors.duckdb"
                    with opened(path) as writers:
                        rate = drive(writers, threads, options.seconds)
                rates.setdefault((threads, name), []).append(rate)
                print(f"{threads:>3} threads, {name}: {rate:.0f} inserts/s", flush=True)
    verdicts = [
        ratios(rates[threads, "group"], rates[threads, "plain"]).verdict(
            f"{threads} threads, group commit / commit per request", least
        )
        for threads, least in BARS
    ]
    facts = {
        f"{threads} threads, {name}, inserts/s": [round(rate) for rate in found]
        for (threads, name), found in rates.items()
    }
    told = Report("Group commit on DuckDB", verdicts=verdicts, facts=facts)
    print(told.text())
    report.write(told, {}, options.out, "group-commit")
    return 0 if told.met else 1


def drive(writers: Writers, threads: int, seconds: float) -> float:
    """Write from many threads at once, each its next row after the last one's acknowledgement.

    Args:
        writers: makes each thread's own way to write a row.
        threads: how many, >= 1.
        seconds: how long, > 0.

    Returns:
        Acknowledged rows per second.

    Raises:
        Exception: the first one that a thread met.
    """
    barrier, over, lock = Barrier(threads + 1), Event(), Lock()
    counts: list[int] = []
    errors: list[BaseException] = []

    def write_rows() -> None:
        write, count = writers(), 0
        barrier.wait()
        try:
            while not over.is_set():
                write((uuid4(), _NAME, _DOB, _SKILLS, _TEXT))
                count += 1
        except Exception as error:  # noqa: BLE001 - told by the main thread
            errors.append(error)
        with lock:
            counts.append(count)

    started = [Thread(target=write_rows, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    barrier.wait()
    begun = monotonic()
    over.wait(seconds)
    over.set()
    for thread in started:
        thread.join()
    took = monotonic() - begun
    if errors:
        raise errors[0]
    return sum(counts) / took


@contextmanager
def _group(path: Path) -> Iterator[Writers]:
    meter = PoolMeter(Board.local()[1])
    backend = DuckDBBackend(DuckDBConfig(path), meter, MonotonicClock())
    insert = Insert("warriors", COLUMNS)

    def prepare(session: Session) -> None:
        session.execute(TABLE)

    def write(row: tuple[Any, ...]) -> None:
        backend.insert(insert, row, _BOUNDS)

    backend.open(prepare)
    try:
        if not backend.wait_ready(10.0):
            raise OSError(f"the database did not open: {backend.opening_error}")
        yield lambda: write
    finally:
        backend.close()


@contextmanager
def _plain(path: Path) -> Iterator[Writers]:
    import duckdb

    options = DuckDBConfig(path).engine_options()
    connection = duckdb.connect(str(path), config=options)
    statement = "INSERT INTO warriors VALUES (?, ?, ?, ?, ?)"

    def writer() -> Write:
        cursor = connection.cursor()
        return lambda row: cursor.execute(statement, row)

    try:
        connection.execute(TABLE)
        yield writer
    finally:
        connection.close()
