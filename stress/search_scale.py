"""How fast the service's reads are with many warriors: ``python -m stress.search_scale --help``.

Fills a database of its own and times the store's calls, one at a time, through the guard with
its mode off: what is measured is the database and the store, not HTTP and not waiting.
"""

from __future__ import annotations

import argparse
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
from typing import TYPE_CHECKING, Any
from uuid import UUID

from guard.assembly import assemble
from guard.settings import load
from service.demo_postgres import demo_server
from service.migrations import load_migrations, migrate
from service.store import Warriors
from service.warrior import search_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.assembly import Assembly
    from guard.backends.base import Session
    from guard.database import Database

_STYLES = (
    "Aikido", "BJJ", "Boxing", "Capoeira", "Hapkido", "Jeet Kune Do", "Judo", "Karate", "Kendo",
    "Kickboxing", "Krav Maga", "Kung Fu", "Lethwei", "Muay Thai", "Ninjutsu", "Pankration",
    "Sambo", "Savate", "Silat", "Sumo", "Systema", "Taekwondo", "Tai Chi", "Wing Chun", "Wrestling",
)  # fmt: skip
_LETTERS = string.ascii_letters + " "
_FIRST_DAY, _DAYS = date(1940, 1, 1), 29_500
_BATCH_ROWS = 2000
_COLUMNS = "id, name, dob, fight_skills, search_text"
_READY_S = 60.0
_TICK_S = 0.02


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


def measure(database: Database, count: int, repeat: int) -> None:
    """Print one line of times per kind of read."""
    warriors = Warriors(database)
    some = next(rows(1))[0]
    print(f"{database.dialect}, {count:,} warriors, {repeat} calls each, milliseconds")
    print(f"{'call':<34}{'rows':>6}{'min':>10}{'median':>10}{'max':>10}")
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
    for label, call in calls.items():
        result = call()
        times = timed_ms(call, repeat)
        size = len(result) if isinstance(result, list) else 0
        print(f"{label:<34}{size:>6}{min(times):>10.2f}{median(times):>10.2f}{max(times):>10.2f}")


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
    raise SystemExit(assembly.why_not_ready)


def main(arguments: list[str] | None = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m stress.search_scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="warriors to store")
    parser.add_argument("--backend", choices=("duckdb", "postgres"), default="duckdb")
    parser.add_argument("--repeat", type=int, default=11, help="calls of each kind")
    options = parser.parse_args(arguments)
    # The build of the index is one long statement.
    chosen = {"GUARD_MODE": "off", "GUARD_STATEMENT_TIMEOUT": "600", "GUARD_DEADLINE": "600"}
    with _database_url(options.backend) as url:
        assembly = assemble(load({"GUARD_DATABASE_URL": url, **chosen}).settings, prepare=migrate)
        try:
            _wait_ready(assembly)
            started = perf_counter()
            fill(assembly.database, options.rows)
            print(f"filled in {perf_counter() - started:.1f} s")
            measure(assembly.database, options.rows, options.repeat)
        finally:
            assembly.close()


if __name__ == "__main__":
    main()
