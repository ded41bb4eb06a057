"""How fast the service's reads are with many warriors: ``python -m stress search-scale``.

Fills a database of its own and times the store's calls, one at a time, through the guard with
its mode off: what is measured is the database and the store, not HTTP and not waiting.
"""

from __future__ import annotations

import random
import string
import tempfile
from contextlib import contextmanager
from datetime import date, timedelta
from importlib.resources import files
from itertools import islice
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from guard.assembly import assemble
from guard.settings import load
from service.demo_postgres import demo_server
from service.migrations import load_migrations, migrate
from service.store import Warriors
from service.warrior import search_text
from stress import report
from stress.report import Report, Verdict
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from guard.assembly import Assembly
    from guard.backends.base import Session
    from guard.database import Database

MEDIAN_MS: Final = 250.0
"""What a read may take at the median, milliseconds."""

_STYLES = (
    "Aikido", "BJJ", "Boxing", "Capoeira", "Hapkido", "Jeet Kune Do", "Judo", "Karate", "Kendo",
    "Kickboxing", "Krav Maga", "Kung Fu", "Lethwei", "Muay Thai", "Ninjutsu", "Pankration",
    "Sambo", "Savate", "Silat", "Sumo", "Systema", "Taekwondo", "Tai Chi", "Wing Chun", "Wrestling",
)  # fmt: skip
_HEAD = f"{'call, ms':<34}{'rows':>6}{'min':>10}{'median':>10}{'max':>10}"
_LETTERS = string.ascii_letters + " "
_FIRST_DAY, _DAYS = date(1940, 1, 1), 29_500
_BATCH_ROWS = 2000
_COLUMNS = "id, name, dob, fight_skills, search_text"
_READY_S = 60.0
_TICK_S = 0.02


class Timed(NamedTuple):
    """One kind of read.

    Attributes:
        call: its name.
        found: rows that it returned, where it returns any.
        times_ms: how long each call took, milliseconds; at least one.
    """

    call: str
    found: int
    times_ms: list[float]

    def line(self) -> str:
        """Return its line of the table."""
        times = (min(self.times_ms), median(self.times_ms), max(self.times_ms))
        return f"{self.call:<34}{self.found:>6}" + "".join(f"{one:>10.2f}" for one in times)

    def verdict(self) -> Verdict:
        """Return its bar."""
        middle_ms = median(self.times_ms)
        bar = f"{self.call}: median < {MEDIAN_MS:g} ms"
        return Verdict(bar, f"{middle_ms:.1f} ms", middle_ms < MEDIAN_MS)


def run(options: Namespace) -> int:
    """Fill and measure, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``rows``, ``repeat``, ``out``.
    """
    # The build of the index is one long statement.
    chosen = {"GUARD_MODE": "off", "GUARD_STATEMENT_TIMEOUT": "600", "GUARD_DEADLINE": "600"}
    with _database_url(options.backend) as url:
        assembly = assemble(load({"GUARD_DATABASE_URL": url, **chosen}).settings, prepare=migrate)
        try:
            _wait_ready(assembly)
            started = perf_counter()
            fill(assembly.database, options.rows)
            filled_s = perf_counter() - started
            found = measure(assembly.database, options.repeat)
        finally:
            assembly.close()
    told = Report(
        f"Reads of {options.rows:,} warriors on {options.backend}, one at a time",
        verdicts=[one.verdict() for one in found],
        facts={"filled in": f"{filled_s:.1f} s"},
        notes=[_HEAD, *(one.line() for one in found)],
    )
    print(told.text())
    report.write(told, {}, options.out, f"search-scale-{options.backend}")
    return 0 if told.met else 1


def rows(count: int, seed: int = 1) -> Iterator[tuple[Any, ...]]:
    """Yield ``count`` seeded rows of the warriors table."""
    draw = random.Random(seed)
    for _ in range(count):
        name = "".join(draw.choices(_LETTERS, k=draw.randint(1, 100)))
        dob = _FIRST_DAY + timedelta(days=draw.randrange(_DAYS))
        skills = draw.sample(_STYLES, draw.randint(1, 20))
        yield UUID(int=draw.getrandbits(128)), name, dob, skills, search_text(name, dob, skills)


def fill(database: Database, count: int) -> None:
    """Store ``count`` rows, in batches; PostgreSQL's search index is built at the end."""
    postgres = database.dialect == "postgres"
    source = rows(count)
    if postgres:
        _run(database, "DROP INDEX warriors_search_text")
    while batch := list(islice(source, _BATCH_ROWS)):
        if postgres:
            values = "VALUES " + ", ".join(["(%s, %s, %s, %s, %s)"] * len(batch))
            params: list[object] = [value for row in batch for value in row]
        else:
            values = "SELECT " + ", ".join(["unnest(?)"] * len(batch[0]))
            params = [list(column) for column in zip(*batch, strict=True)]
        _run(database, f"INSERT INTO warriors ({_COLUMNS}) {values}", params)
    if postgres:
        _run(database, _index_statement())
        _run(database, "ANALYZE warriors")


def _index_statement() -> str:
    steps = load_migrations(files("service.migrations") / "postgres")
    statements = [statement for step in steps for statement in step.statements]
    return next(text for text in statements if "CREATE INDEX warriors_search_text" in text)


def _run(database: Database, sql: str, params: list[object] | None = None) -> None:
    def unit(session: Session) -> None:
        session.execute(sql, params or (), prepare=False)

    database.write(unit)


def timed_ms(call: Callable[[], object], repeat: int) -> list[float]:
    """Return the times of ``repeat`` calls, milliseconds."""
    found = []
    for _ in range(repeat):
        started = perf_counter()
        call()
        found.append((perf_counter() - started) * 1e3)
    return found


def measure(database: Database, repeat: int) -> list[Timed]:
    """Return the times of each kind of read, each called ``repeat`` times, >= 1."""
    warriors = Warriors(database)
    some = next(rows(1))[0]
    calls: dict[str, Callable[[], object]] = {
        "search, rare (nothing)": lambda: warriors.search("qzjxkvwqpfhgy"),
        "search, rare, three letters": lambda: warriors.search("9-3"),
        "search, common (a skill)": lambda: warriors.search("KARATE"),
        "search, a date": lambda: warriors.search("1977-07-07"),
        "search, two letters": lambda: warriors.search("qz"),
        "search, one character, nowhere": lambda: warriors.search("\N{MARTIAL ARTS UNIFORM}"),
        "look-up": lambda: [warriors.find(some)],
        "count": lambda: [warriors.count()],
    }
    found = []
    for label, call in calls.items():
        result = call()
        size = len(result) if isinstance(result, list) else 0
        found.append(Timed(label, size, timed_ms(call, repeat)))
        print(f"{label}: {median(found[-1].times_ms):.2f} ms", flush=True)
    return found


@contextmanager
def _database_url(backend: str) -> Iterator[str]:
    if backend == "postgres":
        with demo_server() as server:
            yield server.url
        return
    with tempfile.TemporaryDirectory(prefix="search-scale-") as folder:
        yield f"duckdb:///{Path(folder) / 'scale.duckdb'}"


def _wait_ready(assembly: Assembly) -> None:
    tick = Event()
    for _ in range(int(_READY_S / _TICK_S)):
        if assembly.ready:
            return
        tick.wait(_TICK_S)
    raise ServerError(assembly.why_not_ready)
