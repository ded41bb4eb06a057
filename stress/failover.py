"""The primary dies under load and its standby takes over: what was lost, and how long it hurt."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from stress import report
from stress.arrivals import CREATE, SEARCH, constant
from stress.disturbance import Breakage, Disturbance
from stress.phases import KINDS_OF_LANE, Span, look_at, part, share_good
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenario import Place, acknowledged, place, replay, verify_apart
from stress.server import ServerError
from stress.standby import promote, standby

if TYPE_CHECKING:
    from argparse import Namespace

    from service.demo_postgres import DemoServer
    from stress import verify
    from stress.phases import Seen
    from stress.result import Run

BACK_S: Final = 3.0
READS_KEPT: Final = 0.99

_LAG_MAX_S: Final = 2.0
_NOTES_MAX: Final = 20
_KEY: Final = "only-for-this-one-run"
_SYNCHRONOUS: Final = (
    "ALTER SYSTEM SET synchronous_standby_names = '*'",
    "SELECT pg_reload_conf()",
)


class Course(NamedTuple):
    """What came of the run.

    Attributes:
        run: every request.
        away: from the fault until the standby takes writes.
        kept: the new primary compared with the promises.
        troubles: suspicious lines of the service's log.
    """

    run: Run
    away: Span
    kept: verify.Verdict
    troubles: list[str]


def run(options: Namespace) -> int:
    """Run the drill, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``fault``, ``asynchronous``, ``rate``, ``workers``, ``before_s``, ``outage_s``,
            ``after_s``, ``seed``, ``out``.
    """
    with ExitStack() as stack:
        course = _course(options, stack)
    seen = look_at(course.run, course.away, KINDS_OF_LANE["write"])
    how = "asynchronous" if options.asynchronous else "synchronous"
    told = Report(
        f"Fail-over of PostgreSQL by {options.fault}, {how} replication, {options.rate:g} users/s, "
        f"{options.workers} workers, seed {options.seed}",
        {label: summarise(part(course.run, span)) for label, span in _spans(course).items()},
        verdicts(course, seen, asynchronous=options.asynchronous),
        facts(course, seen),
        course.troubles[:_NOTES_MAX],
    )
    print(told.text())
    name = f"failover-{options.fault}" + ("-asynchronous" if options.asynchronous else "")
    for path in report.write(told, {"the whole run": course.run}, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def _course(options: Namespace, stack: ExitStack) -> Course:
    where = stack.enter_context(place("postgres"))
    primary = where.postgres
    if primary is None:
        raise ServerError("there is no PostgreSQL server")
    second = stack.enter_context(standby(primary))
    if not options.asynchronous:
        _synchronise(primary)
    both = primary.url.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{second.port}/")
    settings = {
        "GUARD_WORKERS": str(options.workers), "GUARD_DATABASE_URL": both,
        "GUARD_DATABASE_READ_URL": both, "GUARD_REPLICA_LAG_MAX": str(_LAG_MAX_S),
        "GUARD_READ_YOUR_WRITES_KEY": _KEY,
    }  # fmt: skip
    fault = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[options.fault]
    how = Breakage(lambda: primary.kill(fault), lambda: promote(second))
    seconds = options.before_s + options.outage_s + options.after_s
    with (
        where.server("service", guarded=True, settings=settings) as service,
        Disturbance(how, options.before_s, options.outage_s) as disturbance,
    ):
        found = replay(service.target, constant(options.rate, seconds), options.seed)
        disturbance.wait_mended()
        away = Span(disturbance.began_s - found.begun_s, disturbance.ended_s - found.begun_s)
        kept = verify_apart(Place(second.url, where.folder, second), acknowledged(found))
        marks = ((away.from_s, "fault"), (away.to_s, "promoted"))
        return Course(replace(found, marks=marks), away, kept, service.troubles())


def _synchronise(primary: DemoServer) -> None:
    # After the copy was made: the standby must not wait for one of its own.
    with psycopg.connect(primary.url, autocommit=True) as admin:
        for statement in _SYNCHRONOUS:
            admin.execute(statement)


def _spans(course: Course) -> dict[str, Span]:
    end_s = max((sample.due_s for sample in course.run.samples), default=0.0)
    from_s, to_s = course.away
    return {"before": Span(0.0, from_s), "away": course.away, "after": Span(to_s, end_s + 1e-6)}


def verdicts(course: Course, seen: Seen, *, asynchronous: bool = False) -> list[Verdict]:
    """Return the bars.

    Args:
        course: what came of the run.
        seen: what the clients saw of it.
        asynchronous: nobody promised that the standby has everything.
    """
    summary, kept = summarise(course.run), course.kept
    searches = [one for one in course.run.samples if one.kind == SEARCH]
    share = share_good([one for one in searches if course.away.has(one.due_s)])
    total = summary.total
    counted = f"{total.sent} = {total.answered} + {total.shed} + {total.failed}"
    back = "never" if isnan(seen.recovered_s) else f"{seen.recovered_s:.2f} s"
    found = [
        Verdict("sent = answered + shed + failed, on time", summary.void or counted,
                not (summary.void or summary.interrupted), void=bool(summary.void)),
        Verdict(f"searches right and in time while the primary was away >= {READS_KEPT:.0%}",
                f"{share:.1%}", share >= READS_KEPT),
        Verdict(f"95% of the goodput back within {BACK_S:g} s of the promotion", back,
                seen.recovered_s <= BACK_S),
        Verdict("no worker time-out, kill or traceback", str(len(course.troubles)),
                not course.troubles),
    ]  # fmt: skip
    if not asynchronous:
        bar = "every acknowledged warrior there once, as it was sent"
        met = kept.good and kept.acknowledged > 0
        found.append(Verdict(bar, f"{kept.acknowledged} acknowledged, {kept.lost}", met))
    return found


def facts(course: Course, seen: Seen) -> dict[str, str]:
    """Return the figures that are told beside the bars."""
    away = [one for one in course.run.samples if course.away.has(one.due_s)]
    creates = [one for one in away if one.kind == CREATE]
    first = seen.first_failure_s
    return {
        "fault, promoted": " s, ".join(f"{at_s:.2f}" for at_s in course.away) + " s",
        "creates while the primary was away": (
            f"{len(creates)}, shed {sum(bool(one.reason) for one in creates)}, "
            f"failed {sum(not one.right and not one.reason for one in creates)}"
        ),
        "first failure after the fault": "none" if isnan(first) else f"{first:.2f} s",
        "acknowledged, missing on the new primary": (
            f"{course.kept.acknowledged}, {course.kept.missing}"
        ),
    }
