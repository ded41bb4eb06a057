"""kill -9 at random moments under writes, again and again: nothing acknowledged is ever lost.

Two parts. ``service``: the whole service on DuckDB, killed while clients create warriors, and now
and then while it starts. ``units``: many writers in one process, whose units share transactions
with units that raise, break a key or take too long.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.arrivals import CREATE, Stage, schedule
from stress.disturbance import Breakage, Disturbance
from stress.durability_units import NOTHING_KEPT, OK, Said
from stress.load import generate, users
from stress.report import Report, Verdict
from stress.scenario import acknowledged, place
from stress.server import ROOT, ServerError
from stress.verify import open_database, verify

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from stress.scenario import Place
    from stress.verify import Acknowledged

PARTS: Final = ("service", "units")

_ROUNDS_PER_FILE: Final = 20
_TOLD_EVERY: Final = 10
_KILLED_AFTER_S: Final = (0.05, 0.6)
_STARTING_S: Final = (0.2, 1.5)
_KILLED_AT_START: Final = 0.25
_PATIENCE_S: Final = 60.0


class Tally(NamedTuple):
    """What came of some rounds. Tallies add up.

    Attributes:
        rounds: kills while writes were under way.
        acknowledged: rows whose writers were told that they are durable.
        missing: of those, rows that are not there.
        repeated: rows that are there more than once.
        kept: rows whose writers were told that nothing was kept, and that are there.
        accepted: rows with a key that was there already, told to be durable.
        failed: units that were told that nothing was kept.
        unheard: rows that are there, and whose writers heard nothing before the kill.
        early: kills while the service was starting.
        unopened: kills after which the file did not open again.
    """

    rounds: int = 0
    acknowledged: int = 0
    missing: int = 0
    repeated: int = 0
    kept: int = 0
    accepted: int = 0
    failed: int = 0
    unheard: int = 0
    early: int = 0
    unopened: int = 0

    def plus(self, other: Tally) -> Tally:
        """Return the sum."""
        return Tally(*(one + more for one, more in zip(self, other, strict=True)))


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``part``, ``rounds``, ``rate``, ``seed``, ``out``.
    """
    found = {}
    for part in PARTS if options.part == "both" else (options.part,):
        one_file = {"service": _service_file, "units": _units_file}[part]
        found[part] = _rounds(part, options, one_file)
    told = Report(
        f"Durability on DuckDB: {options.rounds} kills each, seed {options.seed}",
        verdicts=[one for part, tally in found.items() for one in verdicts(part, tally)],
        facts={part: _fact(tally) for part, tally in found.items()},
    )
    print(told.text())
    for path in report.write(told, {}, options.out, "durability"):
        print(f"written: {path}")
    return 0 if told.met else 1


def verdicts(part: str, tally: Tally) -> list[Verdict]:
    """Return the bars of one part."""
    bars = [
        Verdict(
            f"{part}: every acknowledged row there after each of {tally.rounds} kills",
            f"{tally.acknowledged} acknowledged, {tally.missing} missing",
            tally.acknowledged > 0 and not tally.missing,
        ),
        Verdict(
            f"{part}: kills after which the file did not open: 0",
            str(tally.unopened),
            not tally.unopened,
        ),
        Verdict(f"{part}: no row twice, none altered", str(tally.repeated), not tally.repeated),
    ]
    if part == "units":
        bars += [
            Verdict(
                f"{part}: nothing there of units that failed",
                f"{tally.failed} failed, {tally.kept} there", tally.failed > 0 and not tally.kept,
            ),
            Verdict(f"{part}: no key accepted twice", str(tally.accepted), not tally.accepted),
        ]  # fmt: skip
    return bars


def _fact(tally: Tally) -> str:
    return (
        f"{tally.rounds} kills under load, {tally.early} while starting; rows that were durable "
        f"and not yet acknowledged at the kill: {tally.unheard}"
    )


def _rounds(
    part: str, options: Namespace, one_file: Callable[[Namespace, int, int], Tally]
) -> Tally:
    total, begun_s = Tally(), monotonic()
    while total.rounds < options.rounds:
        rounds = min(_ROUNDS_PER_FILE, options.rounds - total.rounds)
        total = total.plus(one_file(options, total.rounds, rounds))
        print(f"{part}: {total.rounds} of {options.rounds} rounds, {total.acknowledged} rows, "
              f"{total.missing} missing, {monotonic() - begun_s:.0f} s", flush=True)  # fmt: skip
    return total


def _service_file(options: Namespace, first: int, rounds: int) -> Tally:
    total = Tally()
    promised: list[Acknowledged] = []
    with place("duckdb") as where:
        for number in range(first, first + rounds):
            draw = random.Random(f"{options.seed}-{number}")
            early = int(draw.random() < _KILLED_AT_START)
            if early:
                _kill_while_starting(where, draw.uniform(*_STARTING_S))
            promised += _kill_under_load(where, options, number, draw.uniform(*_KILLED_AFTER_S))
            # The first to open the file after the kill: what the kill left is recovered here.
            kept = verify(where.url, promised)
            total = total.plus(
                Tally(1, 0, kept.missing, kept.repeated + kept.different, early=early)
            )
    unheard = kept.stored - len(promised) + kept.missing
    return total._replace(acknowledged=len(promised), unheard=unheard)


def _kill_under_load(
    where: Place, options: Namespace, number: int, after_s: float
) -> list[Acknowledged]:
    service = where.server("service", guarded=True)
    length_s = after_s + 0.1
    arriving = users(
        schedule({CREATE: (Stage(length_s, options.rate, options.rate),)}),
        options.seed * 1_000_003 + number,
    )
    with service, Disturbance(Breakage(service.kill, _nothing), after_s, 0.0) as disturbance:
        found = generate(service.target, arriving, length_s)
        disturbance.wait_mended()
    return acknowledged(found)


def _kill_while_starting(where: Place, after_s: float) -> None:
    service = where.server("early", guarded=True)
    with Disturbance(Breakage(service.kill, _nothing), after_s, 0.0), suppress(ServerError):
        service.start()
    service.kill()


def _nothing() -> None:
    pass


def _units_file(options: Namespace, first: int, rounds: int) -> Tally:
    total = Tally()
    said: list[Said] = []
    with place("duckdb") as where:
        path = where.folder / "units.duckdb"
        for number in range(first, first + rounds):
            draw = random.Random(f"{options.seed}-{number}")
            said += _kill_writers(path, f"{options.seed}-{number}", draw.uniform(*_KILLED_AFTER_S))
            try:
                found = tally(said, _stored(path))
            except TimeoutError:
                return total.plus(Tally(1, unopened=1))
            wrong = found._replace(acknowledged=0, accepted=0, failed=0, unheard=0)
            total = total.plus(wrong._replace(rounds=1))
    return total._replace(
        acknowledged=found.acknowledged, accepted=found.accepted, failed=found.failed,
        unheard=found.unheard,
    )  # fmt: skip


def _kill_writers(path: Path, seed: str, after_s: float) -> list[Said]:
    """Run the writers until they are killed; return what they said before.

    Raises:
        ServerError: they ended by themselves.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "stress.durability_units", str(path), seed],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        if process.stdout is None:
            return []
        patience = Timer(_PATIENCE_S, process.kill)
        patience.start()
        try:
            ready = process.stdout.readline().strip() == "ready"
            killer = Timer(after_s, process.kill)
            killer.start()
            lines = process.stdout.readlines()
            killer.cancel()
        finally:
            patience.cancel()
            process.kill()
    if not ready or process.returncode >= 0:
        raise ServerError(f"the writers ended by themselves, status {process.returncode}")
    return [Said(*line.split()) for line in lines if line.endswith("\n")]


def _stored(path: Path) -> list[str]:
    assembly = open_database(f"duckdb:///{path}")
    try:
        with assembly.database.stream() as session:
            rows = session.rows("SELECT id FROM plain UNION ALL SELECT id FROM keyed", chunk=1000)
            return [str(row[0]) for row in rows]
    finally:
        assembly.close()


def tally(said: Sequence[Said], stored: Iterable[str]) -> Tally:
    """Compare what writers were told with what is stored. Pure.

    Args:
        said: units that ended.
        stored: the ids of all rows.
    """
    there = Counter(stored)
    durable = [one.key for one in said if one.told == OK and one.kind != "twice"]
    failed = [one.key for one in said if one.told == NOTHING_KEPT]
    heard = {one.key for one in said}
    return Tally(
        acknowledged=len(durable),
        missing=sum(not there[key] for key in durable),
        repeated=sum(count > 1 for count in there.values()),
        kept=sum(bool(there[key]) for key in failed),
        accepted=sum(one.told == OK and one.kind == "twice" for one in said),
        failed=len(failed),
        unheard=sum(key not in heard for key in there),
    )
