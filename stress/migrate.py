"""The service's data moves to PostgreSQL: from a file at rest, killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.backends.postgres.bulk import BulkConnection
from guard.errors import BackendFailed
from service.demo_postgres import demo_server
from service.migrations import UNFINISHED_TABLE
from stress import report
from stress.fill import fill
from stress.migrate_online import run_online
from stress.report import Report, Verdict
from stress.scenario import Place, place, verify_apart
from stress.search_scale import rows
from stress.server import ROOT, ServerError
from stress.verify import Acknowledged

if TYPE_CHECKING:
    from argparse import Namespace

    from stress import verify

MOST_S: Final = 60.0
MOST_MIB: Final = 500
KILLED_AT: Final = 0.5

_SAMPLED: Final = 10_000
_TICK_S: Final = 0.05


class Ran(NamedTuple):
    """One run of the command.

    Attributes:
        status: its exit status; negative where a signal ended it.
        took_s: how long it ran, seconds.
        peak_mib: the most memory that it had.
        told: its last lines.
    """

    status: int
    took_s: float
    peak_mib: float
    told: str


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``rows``, ``online``, ``rate``, ``seconds``, ``seed``, ``out``.
    """
    told, runs, name = run_online(options) if options.online else (_offline(options), {}, "migrate")
    print(told.text())
    for path in report.write(told, runs, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def _offline(options: Namespace) -> Report:
    with place("duckdb") as source, demo_server() as postgres:
        fill(source.url, options.rows)
        arguments = ["--from", source.url, "--to", postgres.url]
        killed = _ran(arguments, source.folder, _Halfway(postgres.url, options.rows))
        finished = _ran(arguments, source.folder)
        again = _ran(arguments, source.folder)
        kept = verify_apart(Place(postgres.url, source.folder, postgres), _sample(options.rows))
    return Report(
        f"{options.rows:,} warriors from a DuckDB file to PostgreSQL, killed on the way",
        verdicts=verdicts(options.rows, killed, finished, again, kept),
        facts={
            "until the kill": f"{killed.took_s:.1f} s",
            "the second run": f"{finished.took_s:.1f} s",
            "peak memory of the command": f"{max(killed.peak_mib, finished.peak_mib):.0f} MiB",
        },
        notes=finished.told.splitlines(),
    )


def verdicts(
    count: int, killed: Ran, finished: Ran, again: Ran, kept: verify.Verdict
) -> list[Verdict]:
    """Return the bars.

    Args:
        count: how many warriors there are.
        killed: the first run.
        finished: the second.
        again: the third.
        kept: PostgreSQL compared with what was stored in the file.
    """
    took_s = killed.took_s + finished.took_s
    peak_mib = max(killed.peak_mib, finished.peak_mib)
    return [
        Verdict(
            "killed by kill -9 half-way, the same command finishes",
            f"statuses {killed.status} and {finished.status}",
            killed.status == -signal.SIGKILL and finished.status == 0,
        ),
        Verdict(f"both runs together < {MOST_S:g} s", f"{took_s:.1f} s", took_s < MOST_S),
        Verdict(f"memory < {MOST_MIB} MiB", f"{peak_mib:.0f} MiB", peak_mib < MOST_MIB),
        Verdict("every warrior once", f"{kept.stored:,} of {count:,}", kept.stored == count),
        Verdict(f"{kept.acknowledged:,} of them looked at, as they were", kept.lost, kept.good),
        Verdict("a third run is refused", f"status {again.status}", again.status == 1),
    ]


def _sample(count: int) -> list[Acknowledged]:
    return [
        Acknowledged(str(key), {"name": name, "dob": dob.isoformat(), "fight_skills": list(skills)})
        for (key, name, dob, skills, _), _ in zip(rows(count), range(_SAMPLED), strict=False)
    ]


class _Halfway:
    """Whether so much is copied that the command is to be killed now."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._wanted = count * KILLED_AT

    def __call__(self) -> bool:
        with suppress(BackendFailed), BulkConnection(self._url) as connection:
            sql = f"SELECT next_row FROM {UNFINISHED_TABLE}"  # noqa: S608 - a constant
            return bool(connection.execute(sql)[0][0] >= self._wanted)
        return False


def _ran(arguments: list[str], folder: Path, kill_when: _Halfway | None = None) -> Ran:
    began_s, peak_mib, tick = monotonic(), 0.0, Event()
    log = folder / "migrate.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "migrate", *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while process.poll() is None:
                peak_mib = max(peak_mib, _peak_mib(process.pid))
                if kill_when is not None and kill_when():
                    process.kill()
                tick.wait(_TICK_S)
        finally:
            process.kill()
            process.wait()
    if kill_when is not None and process.returncode == 0:
        raise ServerError("the copy had ended before it could be killed; take more --rows")
    told = log.read_text(errors="replace")
    return Ran(process.returncode, monotonic() - began_s, peak_mib, told)


def _peak_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
