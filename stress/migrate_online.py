"""The data moves while the service is under load, and the service is switched to PostgreSQL."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

from guard.backends.postgres.bulk import BulkConnection
from service.demo_postgres import demo_server
from stress.arrivals import CREATE, constant
from stress.fill import fill
from stress.phases import KINDS_OF_LANE, Span, part, share_good
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenario import Place, acknowledged, place, replay, verify_apart
from stress.server import ROOT, Server

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from stress import verify
    from stress.result import Run, Sample

PAUSE_S: Final = 5.0
READS_GOOD: Final = 0.99

_WRITES: Final = frozenset({CREATE})
_BEFORE_S: Final = 5.0
_ROWS_PER_S: Final = 5000
_REST_S: Final = 25.0
_INSTANT_S: Final = 1e-6


@dataclass(slots=True)
class Move:
    """The command, run beside the load.

    Attributes:
        began_s: when it was started, by the monotonic clock.
        ended_s: when it had ended.
        status: its exit status.
        told: what it printed.
    """

    began_s: float = 0.0
    ended_s: float = 0.0
    status: int = -1
    told: str = ""


def run_online(options: Namespace) -> tuple[Report, dict[str, Run], str]:
    """Run it and return the report, the runs to plot and the files' name.

    Args:
        options: ``rows``, ``rate``, ``seconds`` (0: by the rows), ``seed``.
    """
    seconds = options.seconds or _BEFORE_S + options.rows / _ROWS_PER_S + _REST_S
    with place("duckdb") as source, demo_server() as postgres:
        fill(source.url, options.rows)
        settings = source.folder / "service.env"
        settings.write_text(f"GUARD_DATABASE_URL={source.url}\n")
        with Server(source.folder / "service.log", {"GUARD_CONFIG_FILE": str(settings)}) as server:
            switch = _switch(source.folder, settings, postgres.url, server.pid)
            arguments = ["--from", source.url, "--to", postgres.url, "--then", switch]
            move = Move()
            mover = Thread(target=_move, args=(move, arguments))
            mover.start()
            found = replay(server.target, constant(options.rate, seconds), options.seed)
            mover.join()
            troubles = server.troubles()
        promised = acknowledged(found)
        kept = verify_apart(Place(postgres.url, source.folder, postgres), promised)
        with BulkConnection(postgres.url) as connection:
            ((stored,),) = connection.execute("SELECT count(*) FROM warriors")
    pause = gap_of(found.samples, _WRITES)
    copying = Span(move.began_s - found.begun_s, move.ended_s - found.begun_s)
    marks = [(copying.from_s, "copy")]
    if length_s(pause):
        marks += [(pause.from_s, "writes shed"), (pause.to_s, "writes taken")]
    found = replace(found, marks=tuple(marks))
    told = Report(
        f"{options.rows:,} warriors moved to PostgreSQL under {options.rate:g} users/s, "
        f"seed {options.seed}",
        {name: summarise(part(found, span)) for name, span in _spans(found, copying).items()},
        verdicts(found, move, kept, int(stored) - options.rows),
        {
            "copy, from the start to the switch": f"{move.ended_s - move.began_s:.1f} s",
            "reads not served at the switch": (
                f"{length_s(gap_of(found.samples, KINDS_OF_LANE['read'])):.2f} s"
            ),
        },
        [*move.told.splitlines()[-5:], *troubles[:10]],
    )
    return told, {"the whole run": found}, "migrate-online"


def _switch(folder: Path, settings: Path, url: str, pid: int) -> str:
    # What an operator would have his service manager do: other settings, then a reload.
    script = folder / "switch.sh"
    line = shlex.quote(f"GUARD_DATABASE_URL={url}")
    script.write_text(f"echo {line} > {shlex.quote(str(settings))} && kill -HUP {pid}\n")
    return f"sh {shlex.quote(str(script))}"


def _move(move: Move, arguments: list[str]) -> None:
    Event().wait(_BEFORE_S)
    move.began_s = monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "service", "migrate", "--online", *arguments],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    move.ended_s = monotonic()
    move.status, move.told = done.returncode, done.stderr


def gap_of(samples: Sequence[Sample], kinds: frozenset[str]) -> Span:
    """Return from when the first request was due that got no right answer to the last such one.

    The end is when the next one was due that did. Empty at infinity where all were right.
    """
    of_kind = sorted((one for one in samples if one.kind in kinds), key=lambda one: one.due_s)
    wrong = [one.due_s for one in of_kind if not one.right]
    if not wrong:
        return Span(inf, inf)
    after = (one.due_s for one in of_kind if one.due_s > wrong[-1])
    return Span(wrong[0], next(after, inf))


def length_s(gap: Span) -> float:
    """Return how long a gap is, seconds."""
    return 0.0 if gap.from_s == inf else gap.to_s - gap.from_s


def _spans(found: Run, copying: Span) -> dict[str, Span]:
    end_s = max((one.due_s for one in found.samples), default=0.0) + _INSTANT_S
    from_s, to_s = copying
    return {
        "before": Span(0.0, from_s),
        "copy and switch": copying,
        "on PostgreSQL": Span(to_s, end_s),
    }


def verdicts(found: Run, move: Move, kept: verify.Verdict, added: int) -> list[Verdict]:
    """Return the bars.

    Args:
        found: every request.
        move: the command.
        kept: PostgreSQL compared with the promises.
        added: warriors in PostgreSQL beyond those that were there before the load.
    """
    total = summarise(found).total
    void = summarise(found).void
    pause = gap_of(found.samples, _WRITES)
    copied = Span(move.began_s - found.begun_s, min(pause.from_s, move.ended_s - found.begun_s))
    reads = share_good([
        one for one in found.samples
        if one.kind in KINDS_OF_LANE["read"] and copied.has(one.due_s)
    ])  # fmt: skip
    failed = [
        one for one in found.samples if one.kind == CREATE and not one.right and not one.reason
    ]
    return [
        Verdict(
            "sent on time, and sent = answered + shed + failed",
            void or f"{total.sent} = {total.answered} + {total.shed} + {total.failed}",
            not void and total.sent == total.answered + total.shed + total.failed,
            void=bool(void),
        ),
        Verdict("the command and the switch succeed", f"status {move.status}", move.status == 0),
        Verdict(
            "every acknowledged warrior is in PostgreSQL once, as it was sent",
            f"{kept.acknowledged} acknowledged, {kept.lost}, {added} more than before",
            kept.good and kept.acknowledged > 0 and added == kept.acknowledged,
        ),
        Verdict(
            f"reads right and in time during the copy >= {READS_GOOD:.0%}",
            f"{reads:.2%}", reads >= READS_GOOD,
        ),
        Verdict("every write that was not taken was shed", f"{len(failed)} others", not failed),
        Verdict(
            f"from the first write that was shed until PostgreSQL takes all < {PAUSE_S:g} s",
            f"{length_s(pause):.2f} s", length_s(pause) < PAUSE_S,
        ),
    ]  # fmt: skip
