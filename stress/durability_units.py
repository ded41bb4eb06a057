"""Writers whose units partly fail, all in one process that is about to be killed.

``python -m stress.durability_units FILE SEED`` opens a DuckDB file, says ``ready``, and then one
line for each unit that ended: its kind, its id, and what its caller was told. Group commit puts
what waits at the same time into one transaction, so units that fail share it with others.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid4

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.board import Board
from guard.clock import MonotonicClock
from guard.errors import BackendBusy, BackendFailed, ConstraintViolation, StatementTimeout
from guard.meter import PoolMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Session

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS plain (id UUID NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keyed (id UUID PRIMARY KEY)",
)
OK, NOTHING_KEPT, UNKNOWN = "ok", "nothing-kept", "unknown"
"""What a caller was told: durable; failed; failed, and perhaps durable."""

_PLAIN, _KEYED = Insert("plain", ("id",)), Insert("keyed", ("id",))
_INTO_PLAIN: Final = "INSERT INTO plain VALUES (?)"
_SLOW: Final = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
_BOUNDS: Final = Bounds(wait_s=30.0, run_s=30.0)
_SHORT: Final = Bounds(wait_s=30.0, run_s=0.02)
_THREADS: Final = 24
_READY_S: Final = 30.0


class Said(NamedTuple):
    """One unit that ended.

    Attributes:
        kind: what it did.
        key: the id of its row.
        told: what its caller was told.
    """

    kind: str
    key: str
    told: str


class PlantedError(Exception):
    """Raised by a unit, on purpose."""


class _Writer:
    """One thread's units, one after the other."""

    def __init__(self, backend: DuckDBBackend, seed: str) -> None:
        self._backend = backend
        self._draw = random.Random(seed)
        self._kinds: dict[str, tuple[int, Callable[[UUID], object]]] = {
            "row": (6, self._row), "keyed": (4, self._keyed), "unit": (4, self._unit),
            "twice": (2, self._twice), "raises": (2, self._raises), "slow": (1, self._slow),
        }  # fmt: skip
        self._kept = uuid4()
        self._backend.insert(_KEYED, (self._kept,), _BOUNDS)
        _say("keyed", self._kept, OK)

    def run(self) -> None:
        """Go on until the process is killed."""
        names, weights = list(self._kinds), [often for often, _ in self._kinds.values()]
        while True:
            (kind,) = self._draw.choices(names, weights)
            key = uuid4()
            try:
                self._kinds[kind][1](key)
            except (ConstraintViolation, PlantedError, StatementTimeout, BackendBusy):
                _say(kind, key, NOTHING_KEPT)
            except BackendFailed:
                _say(kind, key, UNKNOWN)
            else:
                _say(kind, key, OK)

    def _row(self, key: UUID) -> None:
        self._backend.insert(_PLAIN, (key,), _BOUNDS)

    def _keyed(self, key: UUID) -> None:
        self._backend.insert(_KEYED, (key,), _BOUNDS)
        self._kept = key

    def _twice(self, _key: UUID) -> None:
        self._backend.insert(_KEYED, (self._kept,), _BOUNDS)

    def _unit(self, key: UUID) -> None:
        self._backend.write(lambda session: session.execute(_INTO_PLAIN, (key,)), _BOUNDS)

    def _raises(self, key: UUID) -> None:
        def unit(session: Session) -> None:
            session.execute(_INTO_PLAIN, (key,))
            raise PlantedError

        self._backend.write(unit, _BOUNDS)

    def _slow(self, key: UUID) -> None:
        def unit(session: Session) -> None:
            session.execute(_INTO_PLAIN, (key,))
            session.execute(_SLOW)

        self._backend.write(unit, _SHORT)


def _say(kind: str, key: UUID, told: str) -> None:
    # One write, shorter than a pipe's atomic length: threads can't mix their lines, and what was
    # said is out before the process dies.
    os.write(1, f"{kind} {key} {told}\n".encode())


def _make_tables(session: Session) -> None:
    for statement in TABLES:
        session.execute(statement)


def main(path: str, seed: str) -> None:
    """Write until killed."""
    backend = DuckDBBackend(
        DuckDBConfig(Path(path)), PoolMeter(Board.local()[1]), MonotonicClock()
    )  # fmt: skip
    backend.open(_make_tables)
    if not backend.wait_ready(_READY_S):
        sys.exit(f"the database did not open: {backend.opening_error}")
    os.write(1, b"ready\n")
    for number in range(_THREADS):
        writer = _Writer(backend, f"{seed}-{number}")
        Thread(target=writer.run, daemon=True).start()
    Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
