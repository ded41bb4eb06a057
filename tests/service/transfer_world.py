"""Both databases of a copy, with awkward rows in the first."""

from __future__ import annotations

import io
import random
from contextlib import contextmanager
from datetime import date
from time import monotonic
from typing import TYPE_CHECKING

from service_client import wait_ready

from guard.assembly import assemble
from guard.settings import load
from service.migrations import prepare
from service.store import Warriors
from service.transfer.copy import Copying
from service.transfer.progress import Progress
from service.transfer.source import open_file
from service.transfer.target import open_target
from service.warrior import NewWarrior

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.assembly import Assembly
    from service.transfer.copy import Copied
    from service.warrior import Warrior

# What COPY, arrays, quoting, case and the width of characters could trip over.
LETTERS = ("\\", "\t", "\n", "\r", '"', "'", "{", "}", ",", "N", "\\N", "\\.", " ", "\x01", "\x1f")
LETTERS += (
    "\x7f",
    "\N{LATIN SMALL LETTER SHARP S}",
    "é",
    "e\u0301",
    "\U0001f94b",
    "漢",
    "NULL",
    "%s",
    "?",
)

# Nothing but a shut gate sheds, however slow the machine is: that sheds in every mode.
PATIENT = {"GUARD_MODE": "off", "GUARD_STATEMENT_TIMEOUT": "60", "GUARD_DEADLINE": "60"}


def awkward(count: int, seed: int = 1) -> list[NewWarrior]:
    """Return warriors made of the letters that are easily lost."""
    draw = random.Random(seed)

    def text(longest: int) -> str:
        return "".join(draw.choices(LETTERS, k=draw.randint(1, longest)))

    days = (date.min, date(1998, 6, 19), date.max)
    return [
        NewWarrior(text(20), draw.choice(days), tuple(text(5) for _ in range(draw.randint(1, 20))))
        for _ in range(count)
    ]


@contextmanager
def opened(url: str) -> Iterator[Assembly]:
    """Open a database as the service does."""
    assembly = assemble(load({"GUARD_DATABASE_URL": url, **PATIENT}).settings, prepare=prepare)
    try:
        wait_ready(assembly)
        yield assembly
    finally:
        assembly.close()


def fill(path: Path, count: int) -> list[Warrior]:
    """Store ``count`` awkward warriors, every other one with a key."""
    with opened(f"duckdb:///{path}") as assembly:
        store = Warriors(assembly.database)
        return [
            store.create_once(new, f"key {number:04}") if number % 2 else store.create(new)
            for number, new in enumerate(awkward(count))
        ]


def silent() -> Progress:
    """Return a progress that nobody sees."""
    return Progress(io.StringIO(), monotonic)


def copy(path: Path, url: str, *, merge: bool = False, piece_rows: int = 10) -> Copied:
    """Copy a file that nobody has open."""
    with open_file(path) as source, open_target(url) as target:
        return Copying(source, target, silent(), piece_rows).offline(merge=merge)


def stored(assembly: Assembly, warriors: list[Warrior]) -> list[Warrior | None]:
    """Return what the database has of these warriors."""
    store = Warriors(assembly.database)
    return [store.find(warrior.id) for warrior in warriors]
