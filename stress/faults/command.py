"""One fault under load, again and again: ``python -m stress fault NAME``."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from stress import report
from stress.arrivals import constant
from stress.disturbance import Disturbance
from stress.faults.drill import Course, Scene, merged
from stress.faults.processes import troubles, wait_until
from stress.faults.table import DRILLS
from stress.phases import Span
from stress.report import Report
from stress.result import summarise
from stress.scenario import acknowledged, replay, verify_apart
from stress.scrape import scrape
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.faults.drill import Drill
    from stress.result import Run
    from stress.server import Server

_SETTLED_S: Final = 20.0
_NOTES_MAX: Final = 20


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``name``, ``backend``, ``rate``, ``workers``, ``before_s``, ``fault_s``,
            ``after_s``, ``rounds``, ``seed``, ``out``.

    Raises:
        ServerError: the fault can't be made here, or not on this database.
    """
    drill = DRILLS[options.name]
    if options.backend not in drill.backends:
        raise ServerError(f"{options.name} is a fault of {' and '.join(drill.backends)} alone")
    why = drill.missing()
    if why:
        raise ServerError(f"{options.name} can't be made here: {why}")
    courses = []
    for number in range(options.rounds):
        begun_s = monotonic()
        courses.append(_round(drill, options, options.seed + number))
        missed = [one.line() for one in drill.verdicts(courses[-1]) if not one.met]
        print(f"round {number + 1} of {options.rounds}, {monotonic() - begun_s:.0f} s:",
              "; ".join(missed) or "all met", flush=True)  # fmt: skip
    told = _report(drill, options, courses)
    print(told.text())
    runs = {f"round {place + 1}": one.run for place, one in enumerate(courses)}
    for path in report.write(told, runs, options.out, f"fault-{options.name}-{options.backend}"):
        print(f"written: {path}")
    return 0 if told.met else 1


def _report(drill: Drill, options: Namespace, courses: list[Course]) -> Report:
    facts = {
        f"round {place + 1}": ", ".join(
            [f"fault {one.fault.from_s:.2f} to {one.fault.to_s:.2f} s",
             *(f"{name} {value:.2f}" for name, value in one.facts.items())]
        )
        for place, one in enumerate(courses)
    }  # fmt: skip
    return Report(
        f"{drill.about} ({options.name}) on {options.backend}, {options.rate:g} users/s, "
        f"{options.rounds} rounds, seed {options.seed}",
        {f"round {place + 1}": summarise(one.run) for place, one in enumerate(courses)},
        merged([drill.verdicts(one) for one in courses]),
        facts,
        [line for one in courses for line in one.troubles][:_NOTES_MAX],
    )


def _round(drill: Drill, options: Namespace, seed: int) -> Course:
    workers = options.workers if options.backend == "postgres" else 1
    facts: dict[str, float] = {"workers": float(workers)}
    length_s = options.before_s + options.fault_s + options.after_s
    with drill.place(options.backend) as where:
        settings = {"GUARD_WORKERS": str(workers), **drill.settings(where)}
        service = where.server("service", guarded=True, settings=settings)
        with service:
            how = drill.stage(Scene(where, service, facts))
            with Disturbance(how, options.before_s, options.fault_s) as disturbance:
                found = replay(service.target, constant(options.rate, length_s), seed)
                disturbance.wait_mended()
                fault = Span(
                    disturbance.began_s - found.begun_s, disturbance.ended_s - found.begun_s
                )
                in_flight = _in_flight(service)
                # A DuckDB file belongs to one process; and the promises must survive this too.
                service.kill()
                kept = verify_apart(where, acknowledged(found))
        log = service.log_text().splitlines()
    return Course(
        _marked(found, fault), fault, facts, kept, in_flight, troubles(log, drill.tolerated)
    )


def _in_flight(service: Server) -> int:
    """Return how many permits are held once that number does not fall any more."""
    wait_until(lambda: not scrape(service.admin).in_flight, _SETTLED_S)
    return scrape(service.admin).in_flight


def _marked(found: Run, fault: Span) -> Run:
    return replace(found, marks=((fault.from_s, "fault"), (fault.to_s, "mended")))
